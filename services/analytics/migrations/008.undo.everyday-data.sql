DROP FUNCTION finish_erasure, erase_readings, delete_rejected, replay_rejected, note_erased;
DROP TABLE erased_rows;
ALTER TABLE rejection_counts DROP COLUMN replayed, DROP COLUMN deleted;
