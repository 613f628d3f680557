-- Readings that came at QoS 0 stay; only what tells them apart goes.
DROP FUNCTION apply_best_effort, note_devices, merge_refusals;
DROP SEQUENCE best_effort_ids;
DROP TABLE qos0_accounts, device_notices;
ALTER TABLE readings DROP COLUMN best_effort;
CREATE OR REPLACE FUNCTION update_latest_states(
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
