-- +goose Up

-- Who may be asked for a talk now. NULL: off line.
ALTER TABLE advisors ADD COLUMN on_line_since timestamptz;
GRANT UPDATE (on_line_since) ON advisors TO parley_program;

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

-- A loan that a talk request made reserves its advisor for its client as long as it
-- is in force. That is all there is of "busy" beside open calls: no flag that could
-- stick. The exclusion constraint is the promise that nobody is reserved for two.
ALTER TABLE loans ADD COLUMN reserves boolean NOT NULL DEFAULT false;
ALTER TABLE loans ADD CONSTRAINT loans_one_client_an_advisor
    EXCLUDE USING gist (advisor WITH =, tstzrange(made_at, until) WITH &&) WHERE (reserves);
CREATE INDEX loans_reserving ON loans (client, until) WHERE reserves;
CREATE INDEX calls_loan ON calls (loan);
