-- +goose Up

-- What a client thinks of a talk: 1 to 5 stars, keyed after it.
CREATE TABLE ratings (
    call  text        PRIMARY KEY REFERENCES calls,
    stars int         NOT NULL CHECK (stars BETWEEN 1 AND 5),
    at    timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ratings FOR EACH ROW EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON ratings TO parley_program;

-- A plan that a call follows since it began. The terms that it opened with stay in its
-- row; the price is the same in all.
CREATE TABLE call_revisions (
    call  text        NOT NULL REFERENCES calls,
    plan  bigint      NOT NULL REFERENCES plans,
    terms jsonb       NOT NULL,
    at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (call, plan, at)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON call_revisions FOR EACH ROW EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON call_revisions TO parley_program;
