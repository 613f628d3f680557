-- The identity of this database. A gateway store remembers the database that its log was drained into, and a mesh the one that it
-- worked with; another one is refused until an operator adopts it (ADR 0020). `mesh` is the mesh that works with this database.
CREATE TABLE database_identity (
  singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
  database   uuid        NOT NULL,
  mesh       uuid,
  mesh_name  text,
  claimed_at timestamptz
);
INSERT INTO database_identity (database) VALUES (gen_random_uuid());

-- The database that has the messages of an accepted gap, if they were drained there; null if they are lost.
ALTER TABLE drain_gaps ADD COLUMN kept_in uuid;

-- accept_drain_gap for a database that was adopted: it lacks what was drained into the former one.
CREATE FUNCTION accept_drain_gap(
  p_epoch bigint, p_node integer, p_log uuid, p_from_log_id bigint, p_to_log_id bigint, p_messages bigint, p_kept_in uuid
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM accept_drain_gap(p_epoch, p_node, p_log, p_from_log_id, p_to_log_id, p_messages);
  UPDATE drain_gaps SET kept_in = p_kept_in WHERE log = p_log AND from_log_id = p_from_log_id AND kept_in IS DISTINCT FROM p_kept_in;
END
$$;
