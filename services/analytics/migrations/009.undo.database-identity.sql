DROP FUNCTION accept_drain_gap(bigint, integer, uuid, bigint, bigint, bigint, uuid);
ALTER TABLE drain_gaps DROP COLUMN kept_in;
DROP TABLE database_identity;
