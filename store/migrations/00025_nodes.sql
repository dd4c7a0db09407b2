-- +goose Up

-- A node is an Asterisk and the copies of the program that serve it; owners.asterisk is its
-- name. Any node takes any call. What a node has in its hands names it: when nobody owns the
-- node any more, another settles that for it.
ALTER TABLE owners
    ADD sip      text    NOT NULL DEFAULT '',   -- host:port where other nodes reach its Asterisk; '': they need not
    ADD draining boolean NOT NULL DEFAULT false; -- it takes no new calls
GRANT UPDATE (sip, draining) ON owners TO parley_program;

-- Every connection says whose it is, so that whoever opens a call need not. Those of before
-- are of the one node that there was.
ALTER TABLE calls ADD node text NOT NULL DEFAULT coalesce(nullif(current_setting('parley.node', true), ''), 'asterisk');

-- By whom they are claimed.
ALTER TABLE placements ADD node text NOT NULL DEFAULT 'asterisk';
ALTER TABLE challenges ADD node text NOT NULL DEFAULT 'asterisk';
GRANT UPDATE (node) ON placements, challenges TO parley_program;

-- Where the phones of advisors are registered: with the node where they registered last, a
-- call rings them first.
CREATE TABLE registrations (
    endpoint text        NOT NULL, -- the name by which it registers
    node     text        NOT NULL,
    since    timestamptz,          -- NULL: not any more
    PRIMARY KEY (endpoint, node)
);
CREATE INDEX registrations_node ON registrations (node) WHERE since IS NOT NULL;
GRANT SELECT, INSERT, UPDATE (since) ON registrations TO parley_program;

-- Calls that somebody wants ended who does not reach the program that runs them. That
-- program looks here.
CREATE TABLE call_ends (
    call text        PRIMARY KEY REFERENCES calls,
    why  text        NOT NULL,
    at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON call_ends FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON call_ends EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON call_ends TO parley_program;
