-- The lives of a device (I1). A device that has lost its memory counts from 0 again: it begins a new incarnation, or an operator
-- opens one for it. A reading is known by device, incarnation and seq. Readings that no sensor can have measured are marked.
--
-- Nodes of the former version may run beside those of this one. All of them write through apply_drain_batch, so its former form stays
-- and calls the new one; key and functions change together, in this transaction.

-- On a database with readings, online/006.incarnations.sql has done both.
ALTER TABLE readings ADD COLUMN IF NOT EXISTS incarnation bigint NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX IF NOT EXISTS readings_by_incarnation ON readings (device_id, incarnation, seq);
ALTER TABLE readings DROP CONSTRAINT readings_pkey, ADD CONSTRAINT readings_pkey PRIMARY KEY USING INDEX readings_by_incarnation;
ALTER TABLE readings ADD COLUMN implausible boolean NOT NULL DEFAULT false;

-- `leaped`: a reading of this incarnation is stored whose seq is out of reach, above that of the latest state.
ALTER TABLE devices ADD COLUMN incarnation bigint NOT NULL DEFAULT 0, ADD COLUMN implausible boolean NOT NULL DEFAULT false,
  ADD COLUMN leaped boolean NOT NULL DEFAULT false;

-- Incarnations that an operator has opened. Readings that name none belong to the highest of these.
CREATE TABLE device_incarnations (
  device_id   text        NOT NULL,
  incarnation bigint      NOT NULL,
  opened_at   timestamptz NOT NULL,
  request_key text,
  PRIMARY KEY (device_id, incarnation),
  UNIQUE (device_id, request_key)
);

-- Opens an incarnation for a device: p_incarnation, or the one above all that are known. It waits for the batch that is being
-- applied, and the next batch waits for it: what is drained before belongs to the former life, what is drained afterwards to the new
-- one. The same key, or the same incarnation, gives the same answer. Outcomes: opened, known, key_reused, too_low (with the highest
-- known incarnation), exhausted.
CREATE FUNCTION open_incarnation(p_device_id text, p_incarnation bigint, p_key text)
RETURNS TABLE (outcome text, incarnation bigint, opened_at timestamptz) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  known   device_incarnations%ROWTYPE;
  highest bigint;
  next    bigint;
  at      timestamptz := clock_timestamp();
BEGIN
  PERFORM FROM coordinator FOR UPDATE;
  SELECT * INTO known FROM device_incarnations i WHERE i.device_id = p_device_id AND i.request_key = p_key;
  IF FOUND THEN
    RETURN QUERY SELECT CASE WHEN coalesce(p_incarnation, known.incarnation) = known.incarnation THEN 'known' ELSE 'key_reused' END,
                        known.incarnation, known.opened_at;
    RETURN;
  END IF;
  SELECT * INTO known FROM device_incarnations i WHERE i.device_id = p_device_id AND i.incarnation = p_incarnation;
  IF FOUND THEN
    RETURN QUERY SELECT 'known', known.incarnation, known.opened_at;
    RETURN;
  END IF;
  highest := greatest(0, (SELECT max(i.incarnation) FROM device_incarnations i WHERE i.device_id = p_device_id),
                      (SELECT max(r.incarnation) FROM readings r WHERE r.device_id = p_device_id));
  next := coalesce(p_incarnation, highest + 1);
  IF next <= highest THEN
    RETURN QUERY SELECT 'too_low', highest, at;
  ELSIF next > 9007199254740991 THEN
    RETURN QUERY SELECT 'exhausted', highest, at;
  ELSE
    INSERT INTO device_incarnations VALUES (p_device_id, next, at, p_key);
    RETURN QUERY SELECT 'opened', next, at;
  END IF;
END
$$;

-- The incarnation of each reading of a batch: the one that it names, else the highest that an operator has opened. A device that has
-- not seen a PUBACK may send a reading of its former life again: a reading that names none, and is stored in an earlier life of this
-- kind with the very same values, belongs there, and so is a duplicate.
CREATE FUNCTION incarnations_of(
  r_device_id text[], r_incarnation bigint[], r_seq bigint[], r_measured_at timestamptz[], r_celsius real[],
  r_setpoint_celsius real[], r_humidity_percent real[], r_heating boolean[]
) RETURNS bigint[] LANGUAGE sql STABLE AS $$
  SELECT array_agg(
    CASE WHEN b.incarnation > 0 OR o.highest IS NULL THEN b.incarnation ELSE coalesce((
      SELECT r.incarnation FROM readings r
      WHERE r.device_id = b.device_id AND r.seq = b.seq AND r.incarnation IN (
              SELECT 0 UNION ALL SELECT i.incarnation FROM device_incarnations i WHERE i.device_id = b.device_id)
        AND (r.measured_at, r.celsius, r.setpoint_celsius, r.humidity_percent, r.heating)
            IS NOT DISTINCT FROM (b.measured_at, b.celsius, b.setpoint_celsius, b.humidity_percent, b.heating)
      ORDER BY r.incarnation DESC LIMIT 1), o.highest) END
    ORDER BY b.nth)
  FROM unnest(r_device_id, r_incarnation, r_seq, r_measured_at, r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating)
    WITH ORDINALITY AS b (device_id, incarnation, seq, measured_at, celsius, setpoint_celsius, humidity_percent, heating, nth)
  LEFT JOIN (SELECT device_id, max(incarnation) AS highest FROM device_incarnations GROUP BY device_id) o USING (device_id)
$$;

-- Brings the latest state of the devices of a batch up to date by looking at their stored readings. Of the readings of a device's
-- highest incarnation whose seq is at most the setting seq_leap_max above that of the reading stored last, the latest state is the
-- one with the highest seq (services/analytics/src/core/latest-state.ts). Leaves out devices that already show the candidate of the
-- batch, unless p_all.
CREATE FUNCTION update_latest_states(
  p_at timestamptz, p_mark bigint, p_all boolean,
  r_log_id bigint[], r_device_id text[], r_incarnation bigint[], r_seq bigint[], r_latest boolean[]
) RETURNS void LANGUAGE sql AS $$
  WITH batch AS (
    SELECT * FROM unnest(r_log_id, r_device_id, r_incarnation, r_seq, r_latest) AS b (log_id, device_id, incarnation, seq, latest)
    WHERE log_id > p_mark
  ), settled AS (
    SELECT d.device_id FROM devices d JOIN batch b USING (device_id, incarnation, seq) WHERE b.latest AND NOT d.leaped AND NOT p_all
  ), first_seen AS (
    SELECT device_id, incarnation, seq, min(log_id) AS log_id FROM batch
    WHERE device_id NOT IN (SELECT device_id FROM settled) GROUP BY device_id, incarnation, seq
  ), last_stored AS (
    -- Rows of this batch have its time; a duplicate keeps the time of the batch that stored it.
    SELECT DISTINCT ON (f.device_id) f.device_id, f.incarnation, f.seq
    FROM first_seen f JOIN readings r USING (device_id, incarnation, seq)
    WHERE r.committed_at = p_at ORDER BY f.device_id, f.incarnation DESC, f.log_id DESC
  )
  INSERT INTO devices AS d (device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating,
                            implausible, leaped)
  SELECT l.device_id, l.incarnation, r.seq, r.measured_at, r.received_at, r.celsius, r.setpoint_celsius, r.humidity_percent, r.heating,
         r.implausible,
         EXISTS (SELECT FROM readings a WHERE a.device_id = l.device_id AND a.incarnation = l.incarnation AND a.seq > r.seq)
  FROM last_stored l CROSS JOIN LATERAL (
    SELECT * FROM readings s
    WHERE s.device_id = l.device_id AND s.incarnation = l.incarnation AND s.seq <= l.seq + drain_setting('seq_leap_max', 1000)
    ORDER BY s.seq DESC LIMIT 1
  ) r
  ON CONFLICT (device_id) DO UPDATE
  SET incarnation = excluded.incarnation, seq = excluded.seq, measured_at = excluded.measured_at, received_at = excluded.received_at,
      celsius = excluded.celsius, setpoint_celsius = excluded.setpoint_celsius, humidity_percent = excluded.humidity_percent,
      heating = excluded.heating, implausible = excluded.implausible, leaped = excluded.leaped
  WHERE d.incarnation <= excluded.incarnation
    AND (d.incarnation, d.seq, d.leaped) IS DISTINCT FROM (excluded.incarnation, excluded.seq, excluded.leaped)
$$;

-- Applies one batch: the fence, the rows, the devices, the rejections, the accounts and the high-water mark, in one statement,
-- so that between the fence and COMMIT the server never waits for the client (I2). Messages up to the high-water mark are
-- redeliveries and count nowhere but in `redelivered`. Raises TM002, DETAIL a JSON array of log ids, if readings have the key
-- of a stored one but other values: the caller sends the batch again with those among the rejected. Raises TM003 if messages are
-- missing between the high-water mark and the batch: the mark would pass over them, and their redelivery would count as seen (I1);
-- `p_accept_gap` is for messages that are gone for good. `r_incarnation` is 0 for readings that name none. `r_latest` marks the
-- candidates for the latest state that the caller has found among the p_devices devices of the batch; -1 if it has not looked.
CREATE FUNCTION apply_drain_batch(
  p_epoch bigint, p_node integer, p_log uuid, p_first_log_id bigint, p_last_log_id bigint, p_previous_log_id bigint, p_accept_gap boolean,
  p_devices integer,
  r_log_id bigint[], r_device_id text[], r_incarnation bigint[], r_seq bigint[], r_measured_at timestamptz[],
  r_received_at timestamptz[], r_celsius real[], r_setpoint_celsius real[], r_humidity_percent real[], r_heating boolean[],
  r_implausible boolean[], r_latest boolean[],
  x_log_id bigint[], x_device_id text[], x_seq bigint[], x_received_at timestamptz[], x_reason text[], x_detail text[], x_raw bytea[]
) RETURNS TABLE (stored integer, duplicate integer, rejected integer, redelivered integer) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  mark          bigint;
  given         integer := cardinality(r_log_id);
  refused       integer := cardinality(x_log_id);
  new_given     integer;
  new_refused   integer := 0;
  n_stored      integer := 0;
  n_rejected    integer := 0;
  n_duplicate   integer := 0;
  n_settled     integer := 0;
  lives         bigint[] := r_incarnation;
  conflicts     jsonb;
  at            timestamptz := clock_timestamp();
BEGIN
  PERFORM renew_lease(p_epoch);

  INSERT INTO drain_logs VALUES (p_log, 0, 0, 0, 0) ON CONFLICT DO NOTHING;
  SELECT high_water_mark INTO mark FROM drain_logs WHERE log = p_log;
  IF mark > 0 AND p_previous_log_id > mark AND NOT p_accept_gap THEN
    RAISE EXCEPTION 'log % continues with message % behind %, but the one before is %', p_log, p_first_log_id, mark, p_previous_log_id
      USING ERRCODE = 'TM003';
  END IF;

  IF given > 0 THEN
    new_given := CASE WHEN p_first_log_id > mark THEN given ELSE (SELECT count(*) FROM unnest(r_log_id) AS l (log_id) WHERE log_id > mark) END;

    IF EXISTS (SELECT FROM device_incarnations)
       AND EXISTS (SELECT FROM unnest(r_device_id) AS b (device_id) JOIN device_incarnations USING (device_id)) THEN
      lives := incarnations_of(r_device_id, r_incarnation, r_seq, r_measured_at, r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating);
    END IF;

    INSERT INTO readings (device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating,
                          epoch, committed_at, implausible)
    SELECT device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, p_epoch, at, implausible
    FROM unnest(r_log_id, r_device_id, lives, r_seq, r_measured_at, r_received_at, r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating,
                r_implausible)
      AS r (log_id, device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, implausible)
    WHERE log_id > mark
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS n_stored = ROW_COUNT;

    IF n_stored < new_given THEN
      SELECT jsonb_agg(b.log_id ORDER BY b.log_id) INTO conflicts
      FROM unnest(r_log_id, r_device_id, lives, r_seq, r_measured_at, r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating)
        AS b (log_id, device_id, incarnation, seq, measured_at, celsius, setpoint_celsius, humidity_percent, heating)
      JOIN readings r USING (device_id, incarnation, seq)
      WHERE b.log_id > mark
        AND (r.measured_at, r.celsius, r.setpoint_celsius, r.humidity_percent, r.heating)
            IS DISTINCT FROM (b.measured_at, b.celsius, b.setpoint_celsius, b.humidity_percent, b.heating);
      IF conflicts IS NOT NULL THEN
        RAISE EXCEPTION 'a seq was used again with other values' USING ERRCODE = 'TM002', DETAIL = conflicts::text;
      END IF;
      n_duplicate := new_given - n_stored;
    END IF;

    IF n_stored = given THEN -- nothing was redelivered and nothing is a duplicate: the candidates hold
      INSERT INTO devices AS d (device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating,
                                implausible)
      SELECT device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, implausible
      FROM unnest(r_device_id, lives, r_seq, r_measured_at, r_received_at, r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating,
                  r_implausible, r_latest)
        AS r (device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, implausible, latest)
      WHERE latest
      ON CONFLICT (device_id) DO UPDATE
      SET incarnation = excluded.incarnation, seq = excluded.seq, measured_at = excluded.measured_at, received_at = excluded.received_at,
          celsius = excluded.celsius, setpoint_celsius = excluded.setpoint_celsius, humidity_percent = excluded.humidity_percent,
          heating = excluded.heating, implausible = excluded.implausible, leaped = false
      WHERE d.incarnation < excluded.incarnation OR d.incarnation = excluded.incarnation AND d.seq < excluded.seq AND NOT d.leaped;
      GET DIAGNOSTICS n_settled = ROW_COUNT;
    END IF;
    IF n_stored > 0 AND n_settled <> p_devices THEN
      PERFORM update_latest_states(at, mark, n_stored <> given, r_log_id, r_device_id, lives, r_seq, r_latest);
    END IF;
  END IF;

  IF refused > 0 THEN
    WITH given_rows AS (
      SELECT * FROM unnest(x_log_id, x_device_id, x_seq, x_received_at, x_reason, x_detail, x_raw)
        AS x (log_id, device_id, seq, received_at, reason, detail, raw)
      WHERE log_id > mark
    ), inserted AS (
      INSERT INTO rejected_readings (log, log_id, device_id, seq, received_at, reason, detail, raw, epoch)
      SELECT p_log, log_id, device_id, seq, received_at, reason, detail, raw, p_epoch FROM given_rows ORDER BY log_id
      ON CONFLICT DO NOTHING
      RETURNING 1
    )
    SELECT (SELECT count(*) FROM given_rows), (SELECT count(*) FROM inserted) INTO new_refused, n_rejected;
    n_duplicate := n_duplicate + new_refused - n_rejected;
  END IF;

  new_given := coalesce(new_given, 0);
  IF new_given + new_refused > 0 THEN
    UPDATE drain_logs
    SET high_water_mark = greatest(high_water_mark, p_last_log_id), stored = stored + n_stored, duplicate = duplicate + n_duplicate,
        rejected = rejected + n_rejected
    WHERE log = p_log;
    INSERT INTO drain_batches (epoch, node, log, first_log_id, last_log_id, rows, duplicates, rejected, redelivered, committed_at)
    VALUES (p_epoch, p_node, p_log, p_first_log_id, p_last_log_id, n_stored, n_duplicate, n_rejected,
            given + refused - new_given - new_refused, at);
  END IF;
  RETURN QUERY SELECT n_stored, n_duplicate, n_rejected, given + refused - new_given - new_refused;
END
$$;

-- The form that nodes of the former version call: their readings name no incarnation, and none is marked.
CREATE OR REPLACE FUNCTION apply_drain_batch(
  p_epoch bigint, p_node integer, p_log uuid, p_first_log_id bigint, p_last_log_id bigint, p_previous_log_id bigint, p_accept_gap boolean,
  r_log_id bigint[], r_device_id text[], r_seq bigint[], r_measured_at timestamptz[], r_received_at timestamptz[],
  r_celsius real[], r_setpoint_celsius real[], r_humidity_percent real[], r_heating boolean[], r_newest boolean[],
  x_log_id bigint[], x_device_id text[], x_seq bigint[], x_received_at timestamptz[], x_reason text[], x_detail text[], x_raw bytea[]
) RETURNS TABLE (stored integer, duplicate integer, rejected integer, redelivered integer) LANGUAGE sql AS $$
  SELECT a.stored, a.duplicate, a.rejected, a.redelivered FROM apply_drain_batch(
    p_epoch, p_node, p_log, p_first_log_id, p_last_log_id, p_previous_log_id, p_accept_gap, -1,
    r_log_id, r_device_id, array_fill(0::bigint, ARRAY[cardinality(r_log_id)]), r_seq, r_measured_at, r_received_at,
    r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating,
    array_fill(false, ARRAY[cardinality(r_log_id)]), array_fill(false, ARRAY[cardinality(r_log_id)]),
    x_log_id, x_device_id, x_seq, x_received_at, x_reason, x_detail, x_raw) AS a
$$;
