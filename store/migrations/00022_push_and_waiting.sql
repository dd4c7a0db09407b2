-- +goose Up

-- Where an advisor's app hears of things while it is closed: a browser's push service.
-- It belongs to the token that asked and, once the device is a line, to that line as it
-- was: it ends with either.
CREATE TABLE push_subscriptions (
    token         text        PRIMARY KEY REFERENCES tokens,
    advisor       text        NOT NULL REFERENCES advisors,
    line          text        REFERENCES lines,
    generation    int,
    endpoint_hash bytea,
    sealed        bytea, -- its address and keys; NULL: ended
    changed_at    timestamptz NOT NULL DEFAULT now(),
    CHECK ((endpoint_hash IS NULL) = (sealed IS NULL)),
    CHECK ((line IS NULL) = (generation IS NULL))
);
CREATE UNIQUE INDEX push_subscriptions_endpoint ON push_subscriptions (endpoint_hash) WHERE endpoint_hash IS NOT NULL;
CREATE INDEX push_subscriptions_advisor ON push_subscriptions (advisor) WHERE sealed IS NOT NULL;
GRANT SELECT, INSERT, UPDATE (line, generation, endpoint_hash, sealed, changed_at) ON push_subscriptions TO parley_program;

-- How far the events have been read for them: one row.
CREATE TABLE push_progress (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    read_xid xid8    NOT NULL,
    read_id  bigint  NOT NULL
);
INSERT INTO push_progress (read_xid, read_id) VALUES (pg_snapshot_xmin(pg_current_snapshot()), 0);
GRANT SELECT, UPDATE (read_xid, read_id) ON push_progress TO parley_program;

-- How long clients wait is counted by the hour.
CREATE INDEX waits_joined ON waits (joined_at);
