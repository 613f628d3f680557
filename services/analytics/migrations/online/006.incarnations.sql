-- What migration 006 needs of a large table, done beforehand while the nodes write: see libs/sql. Each statement may run again.
ALTER TABLE readings ADD COLUMN IF NOT EXISTS incarnation bigint NOT NULL DEFAULT 0;
-- A build that was interrupted leaves an invalid index.
DROP INDEX CONCURRENTLY IF EXISTS readings_by_incarnation;
CREATE UNIQUE INDEX CONCURRENTLY readings_by_incarnation ON readings (device_id, incarnation, seq);
