-- Repeated rejections are removed: the former schema has one row for each device and text.
DROP TRIGGER counted ON rejected_readings;
DROP TRIGGER cut ON rejected_readings;
DROP FUNCTION count_rejections, cut_rejected, drain_setting;
DROP TABLE rejection_counts;
DROP INDEX rejected_readings_by_kind, rejected_readings_by_device;
ALTER TABLE rejected_readings DROP COLUMN raw_bytes, DROP COLUMN raw_sha256;
DELETE FROM rejected_readings r USING rejected_readings o
WHERE o.id < r.id AND coalesce(o.device_id, '') = coalesce(r.device_id, '') AND o.raw = r.raw;
CREATE UNIQUE INDEX rejected_readings_once ON rejected_readings (coalesce(device_id, ''), sha256(raw));
