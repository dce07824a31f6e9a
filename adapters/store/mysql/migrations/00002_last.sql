-- +goose Up
-- The last record of a shard is found by its key. An interrupted run may have dropped the column before.
SET @drop_last = IF((SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'shard' AND column_name = 'last') = 0,
	'DO 0', 'ALTER TABLE shard DROP COLUMN last');
PREPARE drop_last FROM @drop_last;
EXECUTE drop_last;
DEALLOCATE PREPARE drop_last;
