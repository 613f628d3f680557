-- The former key has no place for the readings of further incarnations: undo refuses rather than to lose them.
DO $$
BEGIN
  IF EXISTS (SELECT FROM readings WHERE incarnation > 0) THEN
    RAISE EXCEPTION 'readings of further incarnations are stored, which the former schema cannot hold';
  END IF;
END
$$;
DROP FUNCTION update_latest_states, incarnations_of, open_incarnation;
DROP FUNCTION apply_drain_batch(bigint, integer, uuid, bigint, bigint, bigint, boolean, integer, bigint[], text[], bigint[], bigint[],
  timestamptz[], timestamptz[], real[], real[], real[], boolean[], boolean[], boolean[], bigint[], text[], bigint[], timestamptz[],
  text[], text[], bytea[]);
DROP TABLE device_incarnations;
-- The latest state was that of the highest seq.
UPDATE devices d SET seq = r.seq, measured_at = r.measured_at, received_at = r.received_at, celsius = r.celsius,
  setpoint_celsius = r.setpoint_celsius, humidity_percent = r.humidity_percent, heating = r.heating
FROM readings r WHERE d.leaped AND r.device_id = d.device_id
  AND r.seq = (SELECT max(h.seq) FROM readings h WHERE h.device_id = d.device_id);
ALTER TABLE devices DROP COLUMN incarnation, DROP COLUMN implausible, DROP COLUMN leaped;
ALTER TABLE readings DROP CONSTRAINT readings_pkey, ADD PRIMARY KEY (device_id, seq);
ALTER TABLE readings DROP COLUMN incarnation, DROP COLUMN implausible;
CREATE OR REPLACE FUNCTION apply_drain_batch(
  p_epoch bigint, p_node integer, p_log uuid, p_first_log_id bigint, p_last_log_id bigint, p_previous_log_id bigint, p_accept_gap boolean,
  r_log_id bigint[], r_device_id text[], r_seq bigint[], r_measured_at timestamptz[], r_received_at timestamptz[],
  r_celsius real[], r_setpoint_celsius real[], r_humidity_percent real[], r_heating boolean[], r_newest boolean[],
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

    INSERT INTO readings (device_id, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, epoch, committed_at)
    SELECT device_id, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, p_epoch, at
    FROM unnest(r_log_id, r_device_id, r_seq, r_measured_at, r_received_at, r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating)
      AS r (log_id, device_id, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating)
    WHERE log_id > mark
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS n_stored = ROW_COUNT;

    IF n_stored < new_given THEN
      SELECT jsonb_agg(b.log_id ORDER BY b.log_id) INTO conflicts
      FROM unnest(r_log_id, r_device_id, r_seq, r_measured_at, r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating)
        AS b (log_id, device_id, seq, measured_at, celsius, setpoint_celsius, humidity_percent, heating)
      JOIN readings r USING (device_id, seq)
      WHERE b.log_id > mark
        AND (r.measured_at, r.celsius, r.setpoint_celsius, r.humidity_percent, r.heating)
            IS DISTINCT FROM (b.measured_at, b.celsius, b.setpoint_celsius, b.humidity_percent, b.heating);
      IF conflicts IS NOT NULL THEN
        RAISE EXCEPTION 'a seq was used again with other values' USING ERRCODE = 'TM002', DETAIL = conflicts::text;
      END IF;
      n_duplicate := new_given - n_stored;
    END IF;

    IF n_stored > 0 THEN
      INSERT INTO devices AS d
      SELECT device_id, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating
      FROM unnest(r_device_id, r_seq, r_measured_at, r_received_at, r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating, r_newest)
        AS r (device_id, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, newest)
      WHERE newest
      ON CONFLICT (device_id) DO UPDATE
      SET seq = excluded.seq, measured_at = excluded.measured_at, received_at = excluded.received_at, celsius = excluded.celsius,
          setpoint_celsius = excluded.setpoint_celsius, humidity_percent = excluded.humidity_percent, heating = excluded.heating
      WHERE d.seq < excluded.seq;
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
