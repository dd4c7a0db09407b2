-- +goose Up

-- What has happened that people outside want to hear of: pages by server-sent events,
-- sites by webhooks. A row is written in the transaction that does it.
--
-- Rows are read in the order of (xid, id), and only those whose transaction is older
-- than every one that still runs: then nothing can come to stand before what was read,
-- and nobody has to wait in line to write.
CREATE TABLE events (
    id      bigint      GENERATED ALWAYS AS IDENTITY,
    xid     xid8        NOT NULL DEFAULT pg_current_xact_id(),
    at      timestamptz NOT NULL DEFAULT now(),
    type    text        NOT NULL CHECK (type ~ '^[a-z_]+\.[a-z_]+$'),
    client  text        REFERENCES clients,  -- whose page is told
    advisor text        REFERENCES advisors, -- whose app is told
    data    jsonb       NOT NULL,
    PRIMARY KEY (xid, id)
);
CREATE INDEX events_client ON events (client, xid, id) WHERE client IS NOT NULL;
CREATE INDEX events_advisor ON events (advisor, xid, id) WHERE advisor IS NOT NULL;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON events TO parley_program;
