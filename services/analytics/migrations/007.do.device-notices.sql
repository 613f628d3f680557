-- What a device's owner must see of readings that are not stored as sent (ADR 0023, ADR 0024): readings at QoS 0, refusals of the
-- gateway, and a `seq` that is a time. Nodes of the former version may run beside those of this one: they call none of the new
-- functions, and the new column has a default.

-- True for a reading that came at QoS 0, where the fleet's owner has them stored. It is outside I1 and I6.
ALTER TABLE readings ADD COLUMN best_effort boolean NOT NULL DEFAULT false;

-- What the gateway tells about devices, best effort. A device is here that has never had a reading stored.
-- `qos0_*`: readings at QoS 0 that were not stored. `refusals`: the kinds of refusals of the gateway, the latest first, bounded.
CREATE TABLE device_notices (
  device_id       text   PRIMARY KEY,
  qos0_not_stored bigint NOT NULL DEFAULT 0,
  qos0_first_at   timestamptz,
  qos0_last_at    timestamptz,
  refusals        jsonb  NOT NULL DEFAULT '[]'
) WITH (fillfactor = 70);

-- The account of readings at QoS 0. `relayed`: not stored, as set at the gateway. `dropped`: given up because a queue was full.
CREATE TABLE qos0_accounts (
  only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  relayed   bigint NOT NULL DEFAULT 0,
  stored    bigint NOT NULL DEFAULT 0,
  duplicate bigint NOT NULL DEFAULT 0,
  rejected  bigint NOT NULL DEFAULT 0,
  dropped   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO qos0_accounts DEFAULT VALUES;

-- Numbers the rejected messages that came at QoS 0. Their log is the nil UUID.
CREATE SEQUENCE best_effort_ids;

-- Merges lists of refusals: one entry for each kind and reason, the latest 20.
CREATE FUNCTION merge_refusals(p_known jsonb, p_new jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'reason', reason, 'topic', topic, 'count', n, 'firstAtMs', first_ms,
                                               'lastAtMs', last_ms) ORDER BY last_ms DESC, kind, reason), '[]')
  FROM (
    SELECT kind, reason, (array_agg(topic ORDER BY "lastAtMs" DESC))[1] AS topic, sum(count)::bigint AS n,
           min("firstAtMs") AS first_ms, max("lastAtMs") AS last_ms
    FROM jsonb_to_recordset(p_known || p_new)
      AS x (kind text, reason text, topic text, count bigint, "firstAtMs" bigint, "lastAtMs" bigint)
    GROUP BY kind, reason ORDER BY last_ms DESC LIMIT 20
  ) merged
$$;

-- Adds a report of the gateway: {relayed, dropped, devices: [{deviceId, notStored, firstAtMs, lastAtMs, refusals}]}. Only the
-- coordinator may add one, so that a report is added once.
CREATE FUNCTION note_devices(p_epoch bigint, p_report jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM renew_lease(p_epoch);
  UPDATE qos0_accounts SET relayed = relayed + (p_report->>'relayed')::bigint, dropped = dropped + (p_report->>'dropped')::bigint;
  INSERT INTO device_notices AS n (device_id, qos0_not_stored, qos0_first_at, qos0_last_at, refusals)
  SELECT "deviceId", "notStored", from_unix_ms("firstAtMs"), from_unix_ms("lastAtMs"), merge_refusals(refusals, '[]')
  FROM jsonb_to_recordset(p_report->'devices')
    AS x ("deviceId" text, "notStored" bigint, "firstAtMs" bigint, "lastAtMs" bigint, refusals jsonb)
  ORDER BY "deviceId"
  ON CONFLICT (device_id) DO UPDATE
  SET qos0_not_stored = n.qos0_not_stored + excluded.qos0_not_stored,
      qos0_first_at = least(n.qos0_first_at, excluded.qos0_first_at), qos0_last_at = greatest(n.qos0_last_at, excluded.qos0_last_at),
      refusals = merge_refusals(n.refusals, excluded.refusals);
END
$$;

-- Stores readings that came at QoS 0, in one statement behind the fence (I2). They have no log id and no mark: nothing sends them
-- again. A reading that is stored already is a duplicate; one whose seq is stored with other values is rejected, whichever QoS
-- either came at. The arrays `r_` hold readings, `x_` messages that are none; `r_raw` is what is kept of a conflict.
CREATE FUNCTION apply_best_effort(
  p_epoch bigint, p_node integer,
  r_device_id text[], r_incarnation bigint[], r_seq bigint[], r_measured_at timestamptz[], r_received_at timestamptz[],
  r_celsius real[], r_setpoint_celsius real[], r_humidity_percent real[], r_heating boolean[], r_implausible boolean[], r_raw bytea[],
  x_device_id text[], x_seq bigint[], x_received_at timestamptz[], x_reason text[], x_detail text[], x_raw bytea[]
) RETURNS TABLE (stored integer, duplicate integer, rejected integer) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  nil        CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
  given      integer := cardinality(r_device_id);
  lives      bigint[] := incarnations_of(r_device_id, r_incarnation, r_seq, r_measured_at, r_celsius, r_setpoint_celsius,
                                         r_humidity_percent, r_heating);
  ids        bigint[] := ARRAY(SELECT generate_series(1, given));
  n_stored   integer;
  n_conflict integer;
  n_rejected integer;
  at         timestamptz := clock_timestamp();
BEGIN
  PERFORM renew_lease(p_epoch);
  INSERT INTO readings (device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating,
                        epoch, committed_at, implausible, best_effort)
  SELECT device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, p_epoch, at,
         implausible, true
  FROM unnest(r_device_id, lives, r_seq, r_measured_at, r_received_at, r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating,
              r_implausible)
    AS r (device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, implausible)
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS n_stored = ROW_COUNT;

  INSERT INTO rejected_readings (log, log_id, device_id, seq, received_at, reason, detail, raw, epoch)
  SELECT nil, nextval('best_effort_ids'), b.device_id, b.seq, b.received_at, 'seq_conflict',
         format('seq %s is stored with other values', b.seq), b.raw, p_epoch
  FROM unnest(r_device_id, lives, r_seq, r_measured_at, r_received_at, r_celsius, r_setpoint_celsius, r_humidity_percent, r_heating, r_raw)
    AS b (device_id, incarnation, seq, measured_at, received_at, celsius, setpoint_celsius, humidity_percent, heating, raw)
  JOIN readings r USING (device_id, incarnation, seq)
  WHERE (r.measured_at, r.celsius, r.setpoint_celsius, r.humidity_percent, r.heating)
        IS DISTINCT FROM (b.measured_at, b.celsius, b.setpoint_celsius, b.humidity_percent, b.heating);
  GET DIAGNOSTICS n_conflict = ROW_COUNT;

  INSERT INTO rejected_readings (log, log_id, device_id, seq, received_at, reason, detail, raw, epoch)
  SELECT nil, nextval('best_effort_ids'), device_id, seq, received_at, reason, detail, raw, p_epoch
  FROM unnest(x_device_id, x_seq, x_received_at, x_reason, x_detail, x_raw) AS x (device_id, seq, received_at, reason, detail, raw);
  GET DIAGNOSTICS n_rejected = ROW_COUNT;
  n_rejected := n_rejected + n_conflict;

  IF n_stored > 0 THEN
    PERFORM update_latest_states(at, 0, true, ids, r_device_id, lives, r_seq, array_fill(false, ARRAY[given]));
  END IF;
  UPDATE qos0_accounts
  SET stored = stored + n_stored, duplicate = duplicate + given - n_stored - n_conflict, rejected = rejected + n_rejected;
  IF n_stored + n_rejected > 0 THEN -- the evidence for I2
    INSERT INTO drain_batches (epoch, node, log, first_log_id, last_log_id, rows, duplicates, rejected, redelivered, committed_at)
    VALUES (p_epoch, p_node, nil, 0, 0, n_stored, given - n_stored - n_conflict, n_rejected, 0, at);
  END IF;
  RETURN QUERY SELECT n_stored, given - n_stored - n_conflict, n_rejected;
END
$$;

-- As before, except for the reach: where the seq of the reading stored last is a time in Unix ms (at least 100,000,000,000), the
-- reach is seq_leap_max minutes, so that a late reading does not become the latest state.
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
    WHERE s.device_id = l.device_id AND s.incarnation = l.incarnation
      AND s.seq <= l.seq + drain_setting('seq_leap_max', 1000) * CASE WHEN l.seq >= 100000000000 THEN 60000 ELSE 1 END
    ORDER BY s.seq DESC LIMIT 1
  ) r
  ON CONFLICT (device_id) DO UPDATE
  SET incarnation = excluded.incarnation, seq = excluded.seq, measured_at = excluded.measured_at, received_at = excluded.received_at,
      celsius = excluded.celsius, setpoint_celsius = excluded.setpoint_celsius, humidity_percent = excluded.humidity_percent,
      heating = excluded.heating, implausible = excluded.implausible, leaped = excluded.leaped
  WHERE d.incarnation <= excluded.incarnation
    AND (d.incarnation, d.seq, d.leaped) IS DISTINCT FROM (excluded.incarnation, excluded.seq, excluded.leaped)
$$;
