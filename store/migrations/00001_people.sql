-- What is true of all these tables: amounts are bigint in minor units of a
-- currency (cents); *_ms is milliseconds, *_ns nanoseconds; times are the
-- database's own. IDs are made by the program and sort by time.
--
-- Two roles: the owner runs these migrations; the program signs in as a member of
-- parley_program, which may do what is granted here and nothing else.

-- +goose Up

-- Lets a constraint say "no two loans of one number at one time".
CREATE EXTENSION IF NOT EXISTS btree_gist;

-- +goose StatementBegin
DO $$
BEGIN
    -- Roles belong to the whole cluster: another database may have made it.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'parley_program') THEN
        CREATE ROLE parley_program NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another database made it in this instant
END
$$;
-- +goose StatementEnd
GRANT SELECT ON schema_version TO parley_program;

-- The trigger of every append-only table. Grants refuse the program; this also
-- refuses the owner.
-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', tg_table_name, lower(tg_op)
        USING ERRCODE = 'restrict_violation', HINT = 'Write a new row that corrects the old one.';
END
$$;
-- +goose StatementEnd

-- Proves, when the program starts, that it was given the key with which the
-- numbers were sealed.
CREATE TABLE vault_key (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    fingerprint bytea   NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON vault_key FOR EACH ROW EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON vault_key TO parley_program;

-- Numbers are kept sealed (AES-256-GCM), found by keyed hash, shown masked.
CREATE TABLE clients (
    id           text        PRIMARY KEY,
    alias        text        NOT NULL CHECK (alias <> ''), -- what advisors hear
    phone_sealed bytea       NOT NULL,
    phone_hash   bytea       NOT NULL CONSTRAINT clients_phone_key UNIQUE,
    phone_mask   text        NOT NULL,
    made_at      timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT ON clients TO parley_program;

CREATE TABLE advisors (
    id               text        PRIMARY KEY,
    name             text        NOT NULL CHECK (name <> ''), -- what clients hear
    predetermined_ms bigint      NOT NULL DEFAULT 0 CHECK (predetermined_ms >= 0), -- 0: no wish
    on_line_since    timestamptz,          -- who may be asked for a talk now; NULL: off line
    made_at          timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE (name, predetermined_ms, on_line_since) ON advisors TO parley_program;

-- A client and an advisor who are not to meet, as either of them wants it.
CREATE TABLE blocks (
    client     text        NOT NULL REFERENCES clients,
    advisor    text        NOT NULL REFERENCES advisors,
    set_by     text        NOT NULL CHECK (set_by IN ('client', 'advisor')),
    blocked    boolean     NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client, advisor, set_by)
);
GRANT SELECT, INSERT, UPDATE (blocked, changed_at) ON blocks TO parley_program;

CREATE TABLE lines (
    id             text        PRIMARY KEY,
    advisor        text        NOT NULL REFERENCES advisors,
    kind           text        NOT NULL CHECK (kind IN ('phone', 'sip', 'app')),
    address_sealed bytea       NOT NULL,
    address_hash   bytea       NOT NULL,
    address_mask   text        NOT NULL,
    made_at        timestamptz NOT NULL DEFAULT now(),
    verified_at    timestamptz,
    verified_how   text,
    CHECK ((verified_at IS NULL) = (verified_how IS NULL)),
    UNIQUE (id, advisor)
);
CREATE INDEX lines_advisor ON lines (advisor);
GRANT SELECT, INSERT, UPDATE (kind, address_sealed, address_hash, address_mask, verified_at, verified_how)
    ON lines TO parley_program;

-- Whoever changes where a line leads, takes its verification away.
-- +goose StatementBegin
CREATE FUNCTION unverify_changed_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (new.advisor, new.kind, new.address_hash) IS DISTINCT FROM (old.advisor, old.kind, old.address_hash) THEN
        new.verified_at := NULL;
        new.verified_how := NULL;
    END IF;
    RETURN new;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER unverify BEFORE UPDATE ON lines FOR EACH ROW EXECUTE FUNCTION unverify_changed_line();
