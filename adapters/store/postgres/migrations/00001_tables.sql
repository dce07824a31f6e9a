-- +goose Up
CREATE TABLE shard (
	id          bigint PRIMARY KEY,
	strips_from bigint NOT NULL,
	strips_to   bigint NOT NULL,
	epoch       bigint NOT NULL, -- the highest given out, or the floor
	owned       boolean NOT NULL DEFAULT false, -- false: never opened, released or retired
	nonce       bigint NOT NULL DEFAULT 0,
	address     text NOT NULL DEFAULT '',
	old_owned   boolean NOT NULL DEFAULT false, -- whom the last Open displaced
	old_epoch   bigint NOT NULL DEFAULT 0,
	old_nonce   bigint NOT NULL DEFAULT 0,
	old_address text NOT NULL DEFAULT '',
	retired     boolean NOT NULL DEFAULT false,
	trimmed     bigint NOT NULL DEFAULT 0 -- records up to here are garbage
) WITH (fillfactor = 10);

CREATE TABLE fence (
	shard  bigint PRIMARY KEY,
	epoch  bigint NOT NULL, -- whose flushes count
	nonce  bigint NOT NULL DEFAULT 0,
	owned  boolean NOT NULL DEFAULT false,
	number bigint NOT NULL DEFAULT 0, -- of the last flush, and its last step
	step   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

CREATE TABLE record (
	shard bigint NOT NULL,
	seq   bigint NOT NULL,
	body  bytea NOT NULL,
	PRIMARY KEY (shard, seq)
) WITH (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_insert_threshold = -1);
ALTER TABLE record ALTER body SET STORAGE EXTERNAL;

CREATE TABLE executions (part bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (part, key));
CREATE TABLE pending    (part bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (part, key));
CREATE TABLE history    (part bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (part, key)) WITH (toast_tuple_target = 8160);
CREATE TABLE due        (part bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (part, key));
CREATE TABLE visibility (part bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (part, key));
CREATE TABLE metadata   (part bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (part, key));
CREATE TABLE blob       (part bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (part, key));
ALTER TABLE executions ALTER value SET STORAGE EXTERNAL;
ALTER TABLE pending    ALTER value SET STORAGE EXTERNAL;
ALTER TABLE history    ALTER value SET STORAGE EXTERNAL;
ALTER TABLE due        ALTER value SET STORAGE EXTERNAL;
ALTER TABLE visibility ALTER value SET STORAGE EXTERNAL;
ALTER TABLE metadata   ALTER value SET STORAGE EXTERNAL;
ALTER TABLE blob       ALTER value SET STORAGE EXTERNAL;
