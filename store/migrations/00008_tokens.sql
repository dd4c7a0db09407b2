-- +goose Up

-- Who may ask the HTTP API, as what. Only the SHA-256 of a token is kept: tokens are
-- 256 random bits, so that no slower hash is needed.
CREATE TABLE tokens (
    id         text        PRIMARY KEY,
    hash       bytea       NOT NULL UNIQUE CHECK (length(hash) = 32),
    role       text        NOT NULL CHECK (role IN ('site', 'client', 'admin')),
    client     text        REFERENCES clients,
    made_at    timestamptz NOT NULL DEFAULT now(),
    until      timestamptz NOT NULL CHECK (until > made_at),
    revoked_at timestamptz,
    CHECK ((role = 'client') = (client IS NOT NULL))
);
GRANT SELECT, INSERT, UPDATE (revoked_at) ON tokens TO parley_program;

-- What was answered to a request that did something, so that the same request again
-- does nothing more. It is written in the transaction that did it. The answer is
-- sealed: it may hold a PIN.
CREATE TABLE answers (
    token         text        NOT NULL REFERENCES tokens,
    key           text        NOT NULL CHECK (key <> ''), -- the request's Idempotency-Key
    request_hash  bytea       NOT NULL,
    answer_sealed bytea       NOT NULL,
    at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token, key)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON answers FOR EACH ROW EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON answers TO parley_program;
