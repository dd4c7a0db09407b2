-- +goose Up

-- Someone who signs in by a code that is sent to their telephone. There is a row for
-- every number that was asked for, whether it is a client's or nobody's: the limits, and
-- what is answered, are the same.
CREATE TABLE sign_ins (
    id         text        PRIMARY KEY,
    phone_hash bytea       NOT NULL,
    client     text        REFERENCES clients, -- NULL: nobody's number, and no code is sent
    code_hash  bytea       NOT NULL,           -- keyed, with the row's ID in it
    made_at    timestamptz NOT NULL DEFAULT now(),
    until      timestamptz NOT NULL,
    checks     int         NOT NULL DEFAULT 0, -- written before the code is compared
    used_at    timestamptz,
    token      text        REFERENCES tokens,  -- that it was exchanged for
    CHECK ((used_at IS NULL) = (token IS NULL))
);
CREATE INDEX sign_ins_phone ON sign_ins (phone_hash, made_at);
GRANT SELECT, INSERT, UPDATE (until, checks, used_at, token) ON sign_ins TO parley_program;

-- With whose private key a site signs assertions of who its clients are. Only the public
-- one is here.
CREATE TABLE site_keys (
    id         text        PRIMARY KEY, -- an assertion's kid
    name       text        NOT NULL CHECK (name <> ''),
    public_key text        NOT NULL, -- PEM
    made_at    timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
GRANT SELECT, INSERT, UPDATE (revoked_at) ON site_keys TO parley_program;

-- An assertion is used once. Those that have expired are refused before they are looked
-- for here.
CREATE TABLE assertions (
    site_key text        NOT NULL REFERENCES site_keys,
    jti_hash bytea       NOT NULL CHECK (length(jti_hash) = 32),
    used_at  timestamptz NOT NULL DEFAULT now(),
    token    text        NOT NULL REFERENCES tokens,
    PRIMARY KEY (site_key, jti_hash)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON assertions FOR EACH ROW EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON assertions TO parley_program;
