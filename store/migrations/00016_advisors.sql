-- +goose Up

-- What an advisor shows clients, and when they take calls.
ALTER TABLE advisors
    ADD profile jsonb NOT NULL DEFAULT '{}', -- words, languages, topics
    ADD hours   jsonb;                       -- NULL: always
GRANT UPDATE (profile, hours) ON advisors TO parley_program;

-- An advisor's picture and greeting: the last that was given, or that it was taken back.
CREATE TABLE advisor_files (
    advisor    text        NOT NULL REFERENCES advisors,
    kind       text        NOT NULL CHECK (kind IN ('picture', 'greeting')),
    sha256     text        CHECK (sha256 ~ '^[0-9a-f]{64}$'), -- of content
    content    bytea,                                         -- NULL: taken back
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (advisor, kind),
    CHECK ((content IS NULL) = (sha256 IS NULL))
);
GRANT SELECT, INSERT, UPDATE (sha256, content, changed_at) ON advisor_files TO parley_program;

-- A line that is changed is another endpoint, with another password. One that was
-- retired is never rung again; what was done by it keeps its reference.
ALTER TABLE lines
    ADD generation int NOT NULL DEFAULT 1 CHECK (generation > 0),
    ADD retired_at timestamptz,
    ADD CONSTRAINT lines_retired_is_not_verified CHECK (retired_at IS NULL OR verified_at IS NULL);
GRANT UPDATE (generation, retired_at) ON lines TO parley_program;

-- What an advisor has earned is added up from the transfers of their accounts.
CREATE INDEX accounts_advisor ON accounts (advisor) WHERE advisor IS NOT NULL;

-- What an advisor writes down about a client, sealed.
CREATE TABLE client_notes (
    advisor     text        NOT NULL REFERENCES advisors,
    client      text        NOT NULL REFERENCES clients,
    note_sealed bytea       NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (advisor, client)
);
GRANT SELECT, INSERT, UPDATE (note_sealed, changed_at) ON client_notes TO parley_program;
