-- drain_batches grows with every batch. What it proves (I2: epochs never fall with id; every epoch that wrote has batches) needs
-- only the first and the last batch of each epoch: some epoch e has a batch after one of e' > e exactly if e's last id is above
-- the first id of e'. So those stay for ever, and the others for a while, to be looked at.

-- Removes up to p_rows_max batches that are older than p_kept_hours and neither first nor last of their epoch. Returns how many.
-- Fenced like a batch: only the coordinator of p_epoch may (I2).
CREATE FUNCTION prune_drain_batches(p_epoch bigint, p_kept_hours integer, p_rows_max integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  from_now  timestamptz := clock_timestamp() - p_kept_hours * interval '1 hour';
  b         record;
  n_removed integer := 0;
BEGIN
  PERFORM renew_lease(p_epoch);
  -- Ids follow the order of commit. What is read is bounded by what is removed and by the ends that were kept: a table that is far too
  -- large shrinks step by step.
  FOR b IN SELECT id, epoch, committed_at FROM drain_batches ORDER BY id LOOP
    EXIT WHEN b.committed_at >= from_now OR n_removed >= p_rows_max;
    IF EXISTS (SELECT FROM drain_batches f WHERE f.epoch = b.epoch AND f.id < b.id)
       AND EXISTS (SELECT FROM drain_batches l WHERE l.epoch = b.epoch AND l.id > b.id) THEN
      DELETE FROM drain_batches WHERE id = b.id;
      n_removed := n_removed + 1;
    END IF;
  END LOOP;
  RETURN n_removed;
END
$$;
