DROP FUNCTION prune_drain_batches;
