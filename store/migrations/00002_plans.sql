-- +goose Up

-- Plans are numbered without gaps and never changed.
CREATE TABLE plans (
    version  bigint      PRIMARY KEY CHECK (version > 0),
    text     text        NOT NULL,
    sha256   bytea       NOT NULL CHECK (length(sha256) = 32), -- of text
    author   text        NOT NULL,
    note     text        NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON plans FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON plans EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON plans TO parley_program;

-- The last row points to the plan in force. Rolling back is one more row.
CREATE TABLE plan_activations (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version bigint      NOT NULL REFERENCES plans,
    by_whom text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON plan_activations FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON plan_activations EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON plan_activations TO parley_program;
