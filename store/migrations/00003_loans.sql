-- +goose Up

-- A number (DID) lent to one client for one advisor until a time, and then kept
-- back for its quarantine. The exclusion constraint is the promise that a number
-- leads to one pair at a time, whoever writes.
--
-- A loan that a talk request made reserves its advisor for its client as long as it
-- is in force. That is all there is of "busy" beside open calls: no flag that could
-- stick. The second exclusion constraint is the promise that nobody is reserved for
-- two.
CREATE TABLE loans (
    id         text        PRIMARY KEY,
    did        text        NOT NULL,
    client     text        NOT NULL REFERENCES clients,
    advisor    text        NOT NULL REFERENCES advisors,
    line       text        NOT NULL,
    topic      text        NOT NULL,
    pin_hash   bytea       NOT NULL, -- keyed, with the loan's ID in it
    tries      int         NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND 10), -- of the PIN
    made_at    timestamptz NOT NULL DEFAULT now(),
    until      timestamptz NOT NULL,
    kept_until timestamptz NOT NULL, -- the end of its quarantine
    reserves   boolean     NOT NULL DEFAULT false,
    CHECK (made_at <= until AND until <= kept_until),
    FOREIGN KEY (line, advisor) REFERENCES lines (id, advisor),
    CONSTRAINT loans_one_pair_at_a_time EXCLUDE USING gist (did WITH =, tstzrange(made_at, kept_until) WITH &&),
    CONSTRAINT loans_one_client_an_advisor
        EXCLUDE USING gist (advisor WITH =, tstzrange(made_at, until) WITH &&) WHERE (reserves)
);
CREATE INDEX loans_reserving ON loans (client, until) WHERE reserves;
CREATE INDEX loans_latest_of_did ON loans (did, made_at DESC);
GRANT SELECT, INSERT, UPDATE (tries, until, kept_until) ON loans TO parley_program;
