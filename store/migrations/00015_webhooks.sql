-- +goose Up

-- Where a site wants to be told of events. A webhook reads the events in their order
-- (see 00010) from where it was made; read_xid and read_id say how far it has come.
CREATE TABLE webhooks (
    id            text        PRIMARY KEY,
    url           text        NOT NULL CHECK (url ~ '^https?://'),
    types         text[]      NOT NULL, -- of events; empty: all
    secret_sealed bytea       NOT NULL,
    made_at       timestamptz NOT NULL DEFAULT now(),
    read_xid      xid8        NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot()),
    read_id       bigint      NOT NULL DEFAULT 0,
    failing_since timestamptz, -- an event was given up, and none delivered since
    ended_at      timestamptz,
    ended_why     text        CHECK (ended_why IN ('removed', 'gone')), -- gone: it answered 410
    CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);
GRANT SELECT, INSERT, UPDATE (read_xid, read_id, failing_since, ended_at, ended_why) ON webhooks TO parley_program;

-- An event on its way to a webhook. A try is claimed by moving next_at on, so that a
-- process that dies in it leaves it to another; tries is its fencing token.
CREATE TABLE deliveries (
    webhook      text        NOT NULL REFERENCES webhooks,
    xid          xid8        NOT NULL,
    event        bigint      NOT NULL,
    made_at      timestamptz NOT NULL DEFAULT now(),
    tries        int         NOT NULL DEFAULT 0,
    next_at      timestamptz DEFAULT now(), -- NULL: delivered, or given up
    tried_at     timestamptz,
    status       int,                       -- HTTP's, of the last try
    fault        text,                      -- why there is none
    delivered_at timestamptz CHECK (delivered_at IS NULL OR next_at IS NULL),
    PRIMARY KEY (webhook, xid, event),
    FOREIGN KEY (xid, event) REFERENCES events
);
CREATE INDEX deliveries_due ON deliveries (webhook, next_at) WHERE next_at IS NOT NULL;
GRANT SELECT, INSERT, UPDATE (tries, next_at, tried_at, status, fault, delivered_at) ON deliveries TO parley_program;
