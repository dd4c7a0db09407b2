-- +goose Up

-- Who did what, when, to what. Each row's hash covers the row and the hash of the
-- row before it, with a key that the database does not have: a row that is changed,
-- taken out or put in breaks the chain.
CREATE TABLE audit_log (
    id        bigint      PRIMARY KEY CHECK (id > 0), -- without gaps
    at        timestamptz NOT NULL,
    who       text        NOT NULL,
    what      text        NOT NULL,
    subject   text        NOT NULL,
    detail    jsonb       NOT NULL, -- an object of texts
    prev_hash bytea       NOT NULL,
    hash      bytea       NOT NULL
);
CREATE INDEX audit_log_subject ON audit_log (subject);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_log EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON audit_log TO parley_program;
