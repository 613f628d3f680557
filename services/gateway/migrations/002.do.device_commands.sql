-- Commands to devices. Owner: gateway. I9: a command is stored before its 202, is never delivered after its deadline, and keeps its state.

CREATE TABLE device_commands (
  id              bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
  command_id      uuid        PRIMARY KEY,
  device_id       text        NOT NULL CHECK (length(device_id) BETWEEN 1 AND 64),
  -- Who asked, by API key, and the caller's Idempotency-Key.
  caller          text        NOT NULL,
  caller_key      text        NOT NULL CHECK (length(caller_key) BETWEEN 1 AND 128),
  -- The parameters as they were sent, to recognise another command under the same key.
  request         text        NOT NULL,
  kind            text        NOT NULL CHECK (kind IN ('setpoint', 'mode', 'reboot')),
  setpoint_celsius double precision CHECK ((setpoint_celsius IS NOT NULL) = (kind = 'setpoint')),
  mode            text        CHECK ((mode IS NOT NULL) = (kind = 'mode')),
  status          text        NOT NULL DEFAULT 'accepted'
                              CHECK (status IN ('accepted', 'sent', 'done', 'failed', 'expired', 'cancelled')),
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  deadline_at     timestamptz NOT NULL,
  deliveries      integer     NOT NULL DEFAULT 0,
  first_sent_at   timestamptz,
  last_sent_at    timestamptz,
  final_at        timestamptz,
  -- What the device said, also if it said so after the deadline.
  outcome         text        CHECK (outcome IN ('done', 'failed')),
  detail          text,
  acknowledged_at timestamptz,
  -- The same key of the same caller is the same command.
  UNIQUE (caller, caller_key),
  CHECK ((status IN ('accepted', 'sent')) = (final_at IS NULL)),
  CHECK ((deliveries = 0) = (first_sent_at IS NULL)),
  CHECK (status NOT IN ('done', 'failed') OR outcome = status)
);
CREATE INDEX device_commands_by_device ON device_commands (device_id, id);
CREATE INDEX device_commands_open ON device_commands (device_id, id) WHERE final_at IS NULL;
CREATE INDEX device_commands_due ON device_commands (deadline_at) WHERE final_at IS NULL;
CREATE INDEX device_commands_new ON device_commands (created_at) WHERE final_at IS NULL;
CREATE INDEX device_commands_final ON device_commands (final_at) WHERE final_at IS NOT NULL;

-- What a command asks for never changes, a final status never changes, and no open row is removed.
CREATE FUNCTION guard_device_command() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.final_at IS NULL THEN
      RAISE EXCEPTION 'command % is open', OLD.command_id USING ERRCODE = 'TM010';
    END IF;
    RETURN OLD;
  END IF;
  IF OLD.final_at IS NOT NULL AND (OLD.status, OLD.final_at, OLD.deliveries) IS DISTINCT FROM (NEW.status, NEW.final_at, NEW.deliveries) THEN
    RAISE EXCEPTION 'command % is final', OLD.command_id USING ERRCODE = 'TM010';
  END IF;
  IF (OLD.id, OLD.command_id, OLD.device_id, OLD.caller, OLD.caller_key, OLD.request, OLD.kind, OLD.setpoint_celsius, OLD.mode, OLD.created_at, OLD.deadline_at)
     IS DISTINCT FROM
     (NEW.id, NEW.command_id, NEW.device_id, NEW.caller, NEW.caller_key, NEW.request, NEW.kind, NEW.setpoint_celsius, NEW.mode, NEW.created_at, NEW.deadline_at) THEN
    RAISE EXCEPTION 'what command % asks for cannot change', OLD.command_id USING ERRCODE = 'TM010';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER device_commands_guard BEFORE UPDATE OR DELETE ON device_commands FOR EACH ROW EXECUTE FUNCTION guard_device_command();

-- Stores a command. Its deadline is an absolute time, or a time from now by the clock of this database. Commands of one device are
-- accepted one after the other, so that the limit of open ones holds. Outcomes: created, exists, queue_full, deadline_too_soon,
-- deadline_too_late.
CREATE FUNCTION accept_device_command(
  p_command_id uuid, p_device_id text, p_caller text, p_caller_key text, p_request text,
  p_kind text, p_setpoint_celsius double precision, p_mode text,
  p_deadline timestamptz, p_expires_ms bigint, p_expires_ms_min bigint, p_expires_ms_max bigint, p_open_max integer
) RETURNS TABLE (outcome text, found_id uuid, found_device text, found_request text, found_deadline timestamptz) LANGUAGE plpgsql AS $$
DECLARE
  at timestamptz;
  ends_at timestamptz;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('thermomesh.device_commands:' || p_device_id, 0));
  RETURN QUERY SELECT 'exists', c.command_id, c.device_id, c.request, c.deadline_at
    FROM device_commands c WHERE c.caller = p_caller AND c.caller_key = p_caller_key;
  IF FOUND THEN
    RETURN;
  END IF;
  at := clock_timestamp();
  ends_at := coalesce(p_deadline, at + p_expires_ms * interval '1 ms');
  IF ends_at < at + p_expires_ms_min * interval '1 ms' THEN
    RETURN QUERY SELECT 'deadline_too_soon', NULL::uuid, NULL::text, NULL::text, NULL::timestamptz;
    RETURN;
  END IF;
  IF ends_at > at + p_expires_ms_max * interval '1 ms' THEN
    RETURN QUERY SELECT 'deadline_too_late', NULL::uuid, NULL::text, NULL::text, NULL::timestamptz;
    RETURN;
  END IF;
  IF (SELECT count(*) FROM device_commands c WHERE c.device_id = p_device_id AND c.final_at IS NULL AND c.deadline_at > at) >= p_open_max THEN
    RETURN QUERY SELECT 'queue_full', NULL::uuid, NULL::text, NULL::text, NULL::timestamptz;
    RETURN;
  END IF;
  INSERT INTO device_commands (command_id, device_id, caller, caller_key, request, kind, setpoint_celsius, mode, deadline_at)
  VALUES (p_command_id, p_device_id, p_caller, p_caller_key, p_request, p_kind, p_setpoint_celsius, p_mode, ends_at)
  ON CONFLICT DO NOTHING;
  -- A conflict here is the same key for another device at the same time.
  RETURN QUERY SELECT CASE WHEN c.command_id = p_command_id THEN 'created' ELSE 'exists' END,
                      c.command_id, c.device_id, c.request, c.deadline_at
    FROM device_commands c WHERE c.caller = p_caller AND c.caller_key = p_caller_key;
END $$;

-- The open commands of the devices, marked as sent before they are sent. None whose deadline has passed or passes within the margin.
CREATE FUNCTION claim_device_commands(p_devices text[], p_margin_ms bigint)
RETURNS SETOF device_commands LANGUAGE sql AS $$
  UPDATE device_commands c
     SET status = 'sent', deliveries = c.deliveries + 1, last_sent_at = clock_timestamp(),
         first_sent_at = coalesce(c.first_sent_at, clock_timestamp())
   WHERE c.device_id = ANY (p_devices) AND c.final_at IS NULL
     AND c.deadline_at > clock_timestamp() + p_margin_ms * interval '1 ms'
  RETURNING c.*
$$;

-- What a device says of a command, once. It makes an open command final, and is kept for one that has expired or was cancelled.
CREATE FUNCTION acknowledge_device_command(p_command_id uuid, p_device_id text, p_outcome text, p_detail text)
RETURNS text LANGUAGE sql AS $$
  UPDATE device_commands c
     SET outcome = p_outcome, detail = p_detail, acknowledged_at = clock_timestamp(),
         status = CASE WHEN c.final_at IS NOT NULL THEN c.status WHEN c.deadline_at > clock_timestamp() THEN p_outcome ELSE 'expired' END,
         final_at = coalesce(c.final_at, least(c.deadline_at, clock_timestamp()))
   WHERE c.command_id = p_command_id AND c.device_id = p_device_id AND c.deliveries > 0 AND c.outcome IS NULL
  RETURNING c.status
$$;
