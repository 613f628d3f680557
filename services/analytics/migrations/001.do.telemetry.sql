-- The telemetry tables and the fence. Owner: analytics. I1, I2 and I6 are kept here, by the database itself.

CREATE TABLE readings (
  device_id        text        NOT NULL,
  seq              bigint      NOT NULL,
  measured_at      timestamptz NOT NULL,
  received_at      timestamptz NOT NULL,
  celsius          real        NOT NULL,
  setpoint_celsius real,
  humidity_percent real,
  heating          boolean,
  epoch            bigint      NOT NULL,
  committed_at     timestamptz NOT NULL,
  PRIMARY KEY (device_id, seq)
);
CREATE INDEX readings_by_time ON readings (device_id, measured_at);

CREATE TABLE rejected_readings (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  log          uuid        NOT NULL,
  log_id       bigint      NOT NULL,
  device_id    text,
  seq          bigint,
  received_at  timestamptz NOT NULL,
  reason       text        NOT NULL,
  detail       text        NOT NULL,
  raw          bytea       NOT NULL,
  epoch        bigint      NOT NULL,
  UNIQUE (log, log_id)
);
-- A rejected message that the device sends again, byte for byte, is a duplicate and no second rejection (I1).
CREATE UNIQUE INDEX rejected_readings_once ON rejected_readings (coalesce(device_id, ''), sha256(raw));

CREATE TABLE devices (
  device_id        text PRIMARY KEY,
  seq              bigint      NOT NULL,
  measured_at      timestamptz NOT NULL,
  received_at      timestamptz NOT NULL,
  celsius          real        NOT NULL,
  setpoint_celsius real,
  humidity_percent real,
  heating          boolean
) WITH (fillfactor = 70);

-- One row: who may write, and until when the others believe that it is alive.
CREATE TABLE coordinator (
  singleton     boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
  epoch         bigint      NOT NULL,
  node_id       integer     NOT NULL,
  elected_at    timestamptz NOT NULL,
  renewed_at    timestamptz NOT NULL,
  released      boolean     NOT NULL,
  backend_pid   integer,
  backend_start timestamptz
) WITH (fillfactor = 10);
INSERT INTO coordinator VALUES (true, 0, 0, now(), now(), true, NULL, NULL);

-- Where the drain of each gateway store stands, and I6's terms, counted in each batch's own transaction.
CREATE TABLE drain_logs (
  log             uuid   PRIMARY KEY,
  high_water_mark bigint NOT NULL,
  stored          bigint NOT NULL,
  duplicate       bigint NOT NULL,
  rejected        bigint NOT NULL
) WITH (fillfactor = 10);

-- The evidence for I2: epochs never fall with id. The id is drawn after the fence has been passed.
CREATE TABLE drain_batches (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  epoch        bigint      NOT NULL,
  node         integer     NOT NULL,
  log          uuid        NOT NULL,
  first_log_id bigint      NOT NULL,
  last_log_id  bigint      NOT NULL,
  rows         integer     NOT NULL,
  duplicates   integer     NOT NULL,
  rejected     integer     NOT NULL,
  redelivered  integer     NOT NULL,
  committed_at timestamptz NOT NULL
);
CREATE INDEX drain_batches_by_epoch ON drain_batches (epoch, id);

-- Whole seconds and the rest apart: a double holds neither sum exactly in far years.
CREATE FUNCTION from_unix_ms(ms bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT timestamptz 'epoch' + (ms / 1000) * interval '1 second' + (ms % 1000) * interval '1 millisecond'
$$;

-- Takes the next epoch for p_node, unless another node holds the present one and is alive: its session stands and its lease
-- is fresh. That refusal lets a partition leave exactly one side draining. The deposed node's session is ended (I2).
CREATE FUNCTION take_over(p_node integer, p_lease_ms integer)
RETURNS TABLE (won boolean, epoch bigint, holder integer) LANGUAGE plpgsql AS $$
DECLARE
  seen  coordinator%ROWTYPE;
  alive boolean;
  mine  bigint;
BEGIN
  SELECT * INTO STRICT seen FROM coordinator;
  alive := EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = seen.backend_pid AND a.backend_start = seen.backend_start);
  IF alive AND NOT seen.released AND seen.node_id <> p_node
     AND seen.renewed_at > clock_timestamp() - p_lease_ms * interval '1 millisecond' THEN
    RETURN QUERY SELECT false, seen.epoch, seen.node_id;
    RETURN;
  END IF;
  IF alive AND seen.backend_pid <> pg_backend_pid() THEN
    PERFORM pg_terminate_backend(seen.backend_pid);
  END IF;
  UPDATE coordinator c
  SET epoch = seen.epoch + 1, node_id = p_node, elected_at = clock_timestamp(), renewed_at = clock_timestamp(), released = false,
      backend_pid = pg_backend_pid(),
      backend_start = (SELECT a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid())
  WHERE c.epoch = seen.epoch
  RETURNING c.epoch INTO mine;
  IF mine IS NULL THEN -- somebody else was faster
    RETURN QUERY SELECT false, c.epoch, c.node_id FROM coordinator c;
  ELSE
    RETURN QUERY SELECT true, mine, p_node;
  END IF;
END
$$;

-- The fence: true for the coordinator of p_epoch, whose lease it renews; holds the row until COMMIT, so that no take-over can
-- come between it and what it guards.
CREATE FUNCTION renew_lease(p_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE coordinator SET renewed_at = clock_timestamp() WHERE epoch = p_epoch;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'epoch % is over: the coordinator is now %', p_epoch,
      (SELECT format('node %s with epoch %s', node_id, epoch) FROM coordinator) USING ERRCODE = 'TM001';
  END IF;
END
$$;

-- A coordinator whose connection broke continues its epoch on a new session.
CREATE FUNCTION attach_session(p_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM renew_lease(p_epoch);
  PERFORM pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN coordinator c ON a.pid = c.backend_pid AND a.backend_start = c.backend_start
  WHERE a.pid <> pg_backend_pid();
  UPDATE coordinator
  SET backend_pid = pg_backend_pid(), released = false,
      backend_start = (SELECT a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid());
END
$$;

-- An orderly end: the next coordinator need not wait for the lease.
CREATE FUNCTION release_lease(p_epoch bigint) RETURNS void LANGUAGE sql AS $$
  UPDATE coordinator SET released = true WHERE epoch = p_epoch
$$;

-- Applies one batch: the fence, the rows, the devices, the rejections, the accounts and the high-water mark, in one statement,
-- so that between the fence and COMMIT the server never waits for the client (I2). Messages up to the high-water mark are
-- redeliveries and count nowhere but in `redelivered`. Raises TM002, DETAIL a JSON array of log ids, if readings have the key
-- of a stored one but other values: the caller sends the batch again with those among the rejected. Raises TM003 if messages are
-- missing between the high-water mark and the batch: the mark would pass over them, and their redelivery would count as seen (I1);
-- `p_accept_gap` is for messages that are gone for good. `r_newest` marks the reading
-- with the highest seq of each device: sorting for it here would cost more than inserting.
CREATE FUNCTION apply_drain_batch(
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
