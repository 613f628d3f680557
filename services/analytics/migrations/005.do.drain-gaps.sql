-- Acknowledged messages that a restored database lost, and whose loss was accepted (I1). The accounts count them (I6):
-- accepted = stored + duplicate + rejected + these + buffered.
CREATE TABLE drain_gaps (
  log         uuid        NOT NULL,
  from_log_id bigint      NOT NULL,
  to_log_id   bigint      NOT NULL,
  messages    bigint      NOT NULL,
  epoch       bigint      NOT NULL,
  node        integer     NOT NULL,
  accepted_at timestamptz NOT NULL,
  PRIMARY KEY (log, from_log_id)
);

-- Moves the high-water mark over a gap and records it, in one transaction that contains the fence (I2). Accepting a recorded gap
-- again changes nothing. Raises TM004 if the database does not stand directly before the gap.
CREATE FUNCTION accept_drain_gap(
  p_epoch bigint, p_node integer, p_log uuid, p_from_log_id bigint, p_to_log_id bigint, p_messages bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM renew_lease(p_epoch);
  IF EXISTS (SELECT FROM drain_gaps WHERE log = p_log AND from_log_id = p_from_log_id AND to_log_id = p_to_log_id) THEN
    RETURN;
  END IF;
  INSERT INTO drain_logs (log, high_water_mark, stored, duplicate, rejected) VALUES (p_log, 0, 0, 0, 0) ON CONFLICT DO NOTHING;
  UPDATE drain_logs SET high_water_mark = p_to_log_id
  WHERE log = p_log AND high_water_mark = p_from_log_id - 1 AND p_to_log_id >= p_from_log_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'log % does not stand before message %', p_log, p_from_log_id USING ERRCODE = 'TM004';
  END IF;
  INSERT INTO drain_gaps VALUES (p_log, p_from_log_id, p_to_log_id, p_messages, p_epoch, p_node, clock_timestamp());
END
$$;

-- take_over, but the epoch is above p_above too. A database that was restored may not know the newest epochs, and a node that still
-- holds one of them must never pass the fence again (I2).
CREATE FUNCTION take_over_above(p_node integer, p_lease_ms integer, p_above bigint)
RETURNS TABLE (won boolean, epoch bigint, holder integer) LANGUAGE plpgsql AS $$
DECLARE
  answer record;
BEGIN
  SELECT t.won, t.epoch, t.holder INTO STRICT answer FROM take_over(p_node, p_lease_ms) t;
  IF answer.won AND answer.epoch <= p_above THEN
    UPDATE coordinator c SET epoch = p_above + 1;
    RETURN QUERY SELECT true, p_above + 1, p_node;
  ELSE
    RETURN QUERY SELECT answer.won, answer.epoch, answer.holder;
  END IF;
END
$$;
