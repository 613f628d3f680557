-- Evidence of rejections (I1, I6). Until here a rejected message with bytes that had been seen before counted as a duplicate: an
-- outage that shows as the same text every three minutes left one row with one time. From here every rejected message of the log is
-- a rejection; for each device and reason there is a count, with the first and the last time, that nothing removes. The rows, with
-- the bytes of the messages, are a bounded sample of the newest.
--
-- Triggers keep all of this, so it holds whichever version of a node writes, also while nodes are being replaced.

-- No batch may write rejections between the reading of the old rows and the first run of the triggers.
LOCK TABLE rejected_readings IN ACCESS EXCLUSIVE MODE;

DROP INDEX rejected_readings_once;
-- NULL in rows from before: `raw` is whole there.
ALTER TABLE rejected_readings ADD COLUMN raw_bytes integer, ADD COLUMN raw_sha256 bytea;
CREATE INDEX rejected_readings_by_kind ON rejected_readings (coalesce(device_id, ''), reason, id);
CREATE INDEX rejected_readings_by_device ON rejected_readings (device_id, id);

-- A kind of rejection is a device and a reason; device '' stands for messages whose topic names no device.
CREATE TABLE rejection_counts (
  device_id         text        NOT NULL,
  reason            text        NOT NULL,
  rejected          bigint      NOT NULL,
  first_received_at timestamptz NOT NULL,
  last_received_at  timestamptz NOT NULL,
  -- What the sample held after the last message, rows that somebody else has deleted included.
  kept_rows         bigint      NOT NULL,
  kept_bytes        bigint      NOT NULL,
  PRIMARY KEY (device_id, reason)
) WITH (fillfactor = 70);

INSERT INTO rejection_counts
SELECT coalesce(device_id, ''), reason, count(*), min(received_at), max(received_at), count(*), sum(length(raw))
FROM rejected_readings GROUP BY 1, 2;

-- A setting that a node gives to its drain session (`set_config`); the default is for sessions that give none.
CREATE FUNCTION drain_setting(p_name text, p_default bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT coalesce(nullif(current_setting('thermomesh.' || p_name, true), '')::bigint, p_default)
$$;

-- Notes size and SHA-256 of a rejected message, and cuts the copy of its bytes.
CREATE FUNCTION cut_rejected() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  bytes_max bigint := drain_setting('rejected_raw_bytes_max', 262144);
BEGIN
  NEW.raw_bytes := length(NEW.raw);
  NEW.raw_sha256 := sha256(NEW.raw);
  IF NEW.raw_bytes > bytes_max THEN
    NEW.raw := substring(NEW.raw FROM 1 FOR bytes_max::integer);
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER cut BEFORE INSERT ON rejected_readings FOR EACH ROW EXECUTE FUNCTION cut_rejected();

-- Counts the rejections that a statement adds, and removes the oldest rows of each kind that has outgrown its limits. The newest row
-- of a kind always stays.
CREATE FUNCTION count_rejections() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  rows_max  bigint := drain_setting('rejected_rows_per_kind_max', 1000);
  bytes_max bigint := drain_setting('rejected_bytes_per_kind_max', 4194304);
  kind      record;
  kept      record;
BEGIN
  FOR kind IN
    INSERT INTO rejection_counts AS c (device_id, reason, rejected, first_received_at, last_received_at, kept_rows, kept_bytes)
    SELECT coalesce(device_id, ''), reason, count(*), min(received_at), max(received_at), count(*), sum(length(raw))
    FROM added GROUP BY 1, 2
    ON CONFLICT (device_id, reason) DO UPDATE
    SET rejected = c.rejected + excluded.rejected, kept_rows = c.kept_rows + excluded.kept_rows,
        kept_bytes = c.kept_bytes + excluded.kept_bytes,
        first_received_at = least(c.first_received_at, excluded.first_received_at),
        last_received_at = greatest(c.last_received_at, excluded.last_received_at)
    RETURNING c.*
  LOOP
    CONTINUE WHEN kind.kept_rows <= rows_max AND kind.kept_bytes <= bytes_max;
    SELECT min(id) AS first_id, count(*) AS n, sum(bytes) AS bytes INTO kept
    FROM (
      SELECT id, length(raw) AS bytes, row_number() OVER newest AS nth, sum(length(raw)) OVER newest AS total
      FROM (
        SELECT id, raw FROM rejected_readings
        WHERE coalesce(device_id, '') = kind.device_id AND reason = kind.reason ORDER BY id DESC LIMIT rows_max
      ) sample WINDOW newest AS (ORDER BY id DESC)
    ) ranked
    WHERE nth = 1 OR total <= bytes_max;
    DELETE FROM rejected_readings
    WHERE coalesce(device_id, '') = kind.device_id AND reason = kind.reason AND id < kept.first_id;
    UPDATE rejection_counts SET kept_rows = kept.n, kept_bytes = kept.bytes
    WHERE device_id = kind.device_id AND reason = kind.reason;
  END LOOP;
  RETURN NULL;
END
$$;
CREATE TRIGGER counted AFTER INSERT ON rejected_readings REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION count_rejections();
