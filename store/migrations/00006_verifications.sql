-- +goose Up

-- A challenge is a one-time code by which an advisor proves a line: requested,
-- then claimed by the one process that places the call, then verified or finished.
CREATE TABLE challenges (
    id           text        PRIMARY KEY,
    line         text        NOT NULL,
    advisor      text        NOT NULL,
    address_hash bytea       NOT NULL, -- the line's when the code was made
    code_hash    bytea       NOT NULL, -- keyed, with the challenge's ID in it
    made_at      timestamptz NOT NULL DEFAULT now(),
    until        timestamptz NOT NULL,
    claimed_at   timestamptz,
    claimed_by   text UNIQUE,
    verified_at  timestamptz,
    verified_how text,
    finished_at  timestamptz,
    disposition  text,
    FOREIGN KEY (line, advisor) REFERENCES lines (id, advisor),
    CHECK ((claimed_at IS NULL) = (claimed_by IS NULL)),
    CHECK ((verified_at IS NULL) = (verified_how IS NULL)),
    CHECK ((finished_at IS NULL) = (disposition IS NULL))
);
CREATE INDEX challenges_line ON challenges (line, made_at);
CREATE INDEX challenges_to_call ON challenges (made_at) WHERE claimed_at IS NULL AND finished_at IS NULL;
GRANT SELECT, INSERT, UPDATE (claimed_at, claimed_by, verified_at, verified_how, finished_at, disposition)
    ON challenges TO parley_program;

-- Every check of a code, written before the code is compared.
CREATE TABLE challenge_checks (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    challenge text        NOT NULL REFERENCES challenges,
    line      text        NOT NULL REFERENCES lines,
    at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX challenge_checks_challenge ON challenge_checks (challenge);
CREATE INDEX challenge_checks_line ON challenge_checks (line, at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON challenge_checks FOR EACH ROW EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON challenge_checks TO parley_program;
