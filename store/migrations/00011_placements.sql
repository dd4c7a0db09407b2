-- +goose Up

-- A loan may reserve an advisor without lending a number: for a call that we place.
ALTER TABLE loans ALTER did DROP NOT NULL;

-- A call that we place, for a loan that reserves its advisor: claimed by one call at a
-- time, and over when that call is settled, in the same transaction. A call that its
-- program did not live to bring to a talk gives it back, to be placed again.
CREATE TABLE placements (
    loan        text        PRIMARY KEY REFERENCES loans,
    kind        text        NOT NULL CHECK (kind IN ('call back', 'appointment')),
    until       timestamptz NOT NULL, -- later it is not begun any more
    call        text        UNIQUE,   -- by which it is claimed
    ended_at    timestamptz,
    disposition text,
    made_at     timestamptz NOT NULL DEFAULT now(),
    CHECK ((ended_at IS NULL) = (disposition IS NULL))
);
CREATE INDEX placements_to_place ON placements (made_at) WHERE ended_at IS NULL AND call IS NULL;
CREATE INDEX placements_claimed ON placements (call) WHERE ended_at IS NULL AND call IS NOT NULL;
GRANT SELECT, INSERT, UPDATE (call, ended_at, disposition) ON placements TO parley_program;
