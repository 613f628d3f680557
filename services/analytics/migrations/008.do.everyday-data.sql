-- Everyday work on data: a rejected message is tried once more (replay), evidence of rejections is deleted, and the data of a device is
-- erased. Each keeps the accounts true (I6) and leaves a count of what it removed. See ADR 0026.

-- `rejected` counts every rejection and never falls. Of these: stored or recognised later by a replay; rows that an operator deleted.
ALTER TABLE rejection_counts ADD COLUMN replayed bigint NOT NULL DEFAULT 0, ADD COLUMN deleted bigint NOT NULL DEFAULT 0;

-- What operators have removed. It holds numbers, no values: the verdict on I1 tells by it what was erased from what was lost.
CREATE TABLE erased_rows (
  device_id       text        NOT NULL, -- '' stands for messages whose topic names no device
  incarnation     bigint      NOT NULL, -- -1: rejected messages
  reason          text        NOT NULL, -- '': readings
  first_seq       bigint,
  last_seq        bigint,
  erased          bigint      NOT NULL,
  first_erased_at timestamptz NOT NULL,
  last_erased_at  timestamptz NOT NULL,
  PRIMARY KEY (device_id, incarnation, reason)
);

CREATE FUNCTION note_erased(p_device_id text, p_incarnation bigint, p_reason text, p_first_seq bigint, p_last_seq bigint, p_erased bigint)
RETURNS void LANGUAGE sql AS $$
  INSERT INTO erased_rows AS e VALUES (p_device_id, p_incarnation, p_reason, p_first_seq, p_last_seq, p_erased, clock_timestamp(), clock_timestamp())
  ON CONFLICT (device_id, incarnation, reason) DO UPDATE
  SET first_seq = least(e.first_seq, excluded.first_seq), last_seq = greatest(e.last_seq, excluded.last_seq),
      erased = e.erased + excluded.erased, last_erased_at = excluded.last_erased_at
$$;

-- Stores a rejected message that has become a valid reading, by the drain's own statement: the fence, the incarnations, the comparison
-- with what is stored and the latest state are those of a batch, and the batch is recorded. The row of the rejection goes in the same
-- transaction, so a second replay finds nothing; the message moves from `rejected` to `stored` or `duplicate` in the accounts of its
-- log. Returns stored, duplicate or gone. Raises TM002 as a batch does, and then changes nothing.
CREATE FUNCTION replay_rejected(
  p_epoch bigint, p_node integer, p_id bigint, p_incarnation bigint, p_seq bigint, p_measured_at timestamptz,
  p_celsius real, p_setpoint_celsius real, p_humidity_percent real, p_heating boolean, p_implausible boolean
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  -- A log of one message, which exists in this transaction only.
  own     uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  message rejected_readings%ROWTYPE;
  before  devices%ROWTYPE;
  applied record;
BEGIN
  PERFORM renew_lease(p_epoch);
  DELETE FROM rejected_readings WHERE id = p_id RETURNING * INTO message;
  IF NOT FOUND THEN
    RETURN 'gone';
  END IF;
  SELECT * INTO before FROM devices d WHERE d.device_id = message.device_id;
  SELECT a.stored, a.duplicate INTO STRICT applied FROM apply_drain_batch(
    p_epoch, p_node, own, 1, 1, 0, false, 1,
    ARRAY[1::bigint], ARRAY[message.device_id], ARRAY[p_incarnation], ARRAY[p_seq], ARRAY[p_measured_at], ARRAY[message.received_at],
    ARRAY[p_celsius], ARRAY[p_setpoint_celsius], ARRAY[p_humidity_percent], ARRAY[p_heating], ARRAY[p_implausible], ARRAY[true],
    '{}', '{}', '{}', '{}', '{}', '{}', '{}') a;
  -- The latest state never goes back to an old reading.
  UPDATE devices d
  SET incarnation = before.incarnation, seq = before.seq, measured_at = before.measured_at, received_at = before.received_at,
      celsius = before.celsius, setpoint_celsius = before.setpoint_celsius, humidity_percent = before.humidity_percent,
      heating = before.heating, implausible = before.implausible, leaped = before.leaped
  WHERE d.device_id = before.device_id AND (d.incarnation, d.seq) < (before.incarnation, before.seq);
  DELETE FROM drain_logs WHERE log = own;
  IF message.log = '00000000-0000-0000-0000-000000000000' THEN -- it came at QoS 0
    UPDATE qos0_accounts q
    SET stored = q.stored + applied.stored, duplicate = q.duplicate + applied.duplicate, rejected = q.rejected - 1;
    IF applied.stored = 1 THEN
      UPDATE readings SET best_effort = true
      WHERE (device_id, incarnation, seq) = (
        SELECT r.device_id, r.incarnation, r.seq FROM readings r WHERE r.device_id = message.device_id AND r.seq = p_seq
        ORDER BY r.committed_at DESC LIMIT 1);
    END IF;
  END IF;
  UPDATE drain_logs l
  SET stored = l.stored + applied.stored, duplicate = l.duplicate + applied.duplicate, rejected = l.rejected - 1
  WHERE l.log = message.log;
  UPDATE rejection_counts c
  SET replayed = c.replayed + 1, kept_rows = c.kept_rows - 1, kept_bytes = c.kept_bytes - length(message.raw)
  WHERE c.device_id = coalesce(message.device_id, '') AND c.reason = message.reason;
  RETURN CASE WHEN applied.stored = 1 THEN 'stored' ELSE 'duplicate' END;
END
$$;

-- Deletes at most p_rows_max rejected messages that meet all conditions, the oldest first; NULL is no condition. The accounts and
-- `rejection_counts.rejected` still count them. It takes its turn between two batches, because batches prune these rows too.
CREATE FUNCTION delete_rejected(
  p_id bigint, p_device_id text, p_reason text, p_since timestamptz, p_until timestamptz, p_rows_max integer
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  kind    record;
  deleted integer := 0;
BEGIN
  PERFORM FROM coordinator FOR UPDATE;
  FOR kind IN
    WITH gone AS (
      DELETE FROM rejected_readings WHERE id IN (
        SELECT id FROM rejected_readings
        WHERE (p_id IS NULL OR id = p_id) AND (p_device_id IS NULL OR device_id = p_device_id) AND (p_reason IS NULL OR reason = p_reason)
          AND (p_since IS NULL OR received_at >= p_since) AND (p_until IS NULL OR received_at < p_until)
        ORDER BY id LIMIT p_rows_max)
      RETURNING coalesce(device_id, '') AS device_id, reason, seq, length(raw) AS bytes
    )
    SELECT g.device_id, g.reason, min(g.seq) AS first_seq, max(g.seq) AS last_seq, count(*) AS n, sum(g.bytes) AS bytes
    FROM gone g GROUP BY 1, 2 ORDER BY 1, 2
  LOOP
    UPDATE rejection_counts c
    SET deleted = c.deleted + kind.n, kept_rows = c.kept_rows - kind.n, kept_bytes = c.kept_bytes - kind.bytes
    WHERE c.device_id = kind.device_id AND c.reason = kind.reason;
    PERFORM note_erased(kind.device_id, -1, kind.reason, kind.first_seq, kind.last_seq, kind.n);
    deleted := deleted + kind.n;
  END LOOP;
  RETURN deleted;
END
$$;

-- Erases at most p_rows_max readings of a device, and counts them in the same transaction. It holds no lock that a batch waits for,
-- except on rows that a device has sent again.
CREATE FUNCTION erase_readings(p_device_id text, p_rows_max integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  life   record;
  erased integer := 0;
BEGIN
  FOR life IN
    WITH gone AS (
      DELETE FROM readings WHERE device_id = p_device_id AND (incarnation, seq) IN (
        SELECT incarnation, seq FROM readings WHERE device_id = p_device_id ORDER BY incarnation, seq LIMIT p_rows_max)
      RETURNING incarnation, seq
    )
    SELECT incarnation, min(seq) AS first_seq, max(seq) AS last_seq, count(*) AS n FROM gone GROUP BY incarnation ORDER BY incarnation
  LOOP
    PERFORM note_erased(p_device_id, life.incarnation, '', life.first_seq, life.last_seq, life.n);
    erased := erased + life.n;
  END LOOP;
  RETURN erased;
END
$$;

-- The last step of an erasure, between two batches: what is left of the readings (at most p_rows_max; if there is more, the step is to
-- be done again), the rejections with their counts, the incarnations that were opened, and the latest state.
CREATE FUNCTION finish_erasure(p_device_id text, p_rows_max integer)
RETURNS TABLE (readings integer, rejections integer, complete boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  n_readings   integer;
  n_rejections integer := 0;
  kind         record;
BEGIN
  PERFORM FROM coordinator FOR UPDATE;
  n_readings := erase_readings(p_device_id, p_rows_max);
  IF n_readings = p_rows_max THEN
    RETURN QUERY SELECT n_readings, 0, false;
    RETURN;
  END IF;
  FOR kind IN
    WITH gone AS (DELETE FROM rejected_readings WHERE device_id = p_device_id RETURNING reason, seq),
    seqs AS (SELECT reason, min(seq) AS first_seq, max(seq) AS last_seq, count(*) AS n FROM gone GROUP BY reason),
    counts AS (DELETE FROM rejection_counts WHERE device_id = p_device_id RETURNING reason, rejected - replayed - deleted AS left_over)
    SELECT reason, first_seq, last_seq, coalesce(n, 0) AS n, coalesce(left_over, n) AS left_over
    FROM counts FULL JOIN seqs USING (reason) ORDER BY reason
  LOOP
    PERFORM note_erased(p_device_id, -1, kind.reason, kind.first_seq, kind.last_seq, kind.left_over);
    n_rejections := n_rejections + kind.n;
  END LOOP;
  DELETE FROM device_incarnations WHERE device_id = p_device_id;
  DELETE FROM device_notices WHERE device_id = p_device_id;
  DELETE FROM devices WHERE device_id = p_device_id;
  RETURN QUERY SELECT n_readings, n_rejections, true;
END
$$;
