DROP FUNCTION apply_drain_batch, renew_lease, release_lease, attach_session, take_over, from_unix_ms;
DROP TABLE drain_batches, drain_logs, rejected_readings, devices, readings, coordinator;
