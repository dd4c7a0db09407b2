-- +goose Up

-- Clients who wait for an advisor. The place in line is counted whenever it is asked
-- for; the order is that of the tickets, drawn under the advisor's lock. A turn is a loan
-- that reserves the advisor: with a number for who keeps the page open, without one for
-- who is called back.
CREATE TABLE waits (
    id        text        PRIMARY KEY,
    ticket    bigint      NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
    client    text        NOT NULL REFERENCES clients,
    advisor   text        NOT NULL REFERENCES advisors,
    mode      text        NOT NULL CHECK (mode IN ('page', 'call_back')),
    topic     text        NOT NULL,
    country   text        NOT NULL, -- of the number that is lent; '' for any
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ready_at  timestamptz NOT NULL DEFAULT clock_timestamp(), -- no turn before: they are on the telephone
    state     text        NOT NULL DEFAULT 'waiting' CHECK (state IN
        ('waiting', 'turn', 'talked', 'left', 'missed_turn', 'no_funds', 'not_reached', 'not_accepted', 'failed')),
    loan      text        UNIQUE REFERENCES loans,
    ended_at  timestamptz,
    CHECK ((state IN ('waiting', 'turn')) = (ended_at IS NULL)),
    CHECK (state <> 'waiting' OR loan IS NULL),
    CHECK (state NOT IN ('turn', 'talked', 'missed_turn', 'not_reached', 'not_accepted') OR loan IS NOT NULL)
);
CREATE UNIQUE INDEX waits_once_for_an_advisor ON waits (advisor, client) WHERE ended_at IS NULL;
CREATE INDEX waits_in_line ON waits (advisor, ticket) WHERE ended_at IS NULL;
CREATE INDEX waits_client ON waits (client, ticket) WHERE ended_at IS NULL;
GRANT SELECT, INSERT, UPDATE (mode, topic, country, ready_at, state, loan, ended_at) ON waits TO parley_program;
