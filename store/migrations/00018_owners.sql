-- +goose Up

-- Which copy of the program owns an Asterisk: it alone answers and places calls there,
-- and renews its row to show that it lives. The epoch is the fencing token: it grows
-- whenever ownership changes hands. The second key makes that the change of a key: it
-- waits for transactions that hold the row FOR KEY SHARE, because their copy owns it, and
-- they for it; a renewal does not.
CREATE TABLE owners (
    asterisk   text        PRIMARY KEY,
    holder     text        NOT NULL, -- '' once it was given back
    epoch      bigint      NOT NULL CHECK (epoch > 0),
    renewed_at timestamptz NOT NULL, -- once it was given back: until when calls were taken
    wanted_by  text,                 -- asks the holder to hand over to it
    wanted_at  timestamptz,          -- and goes on asking
    UNIQUE (asterisk, epoch),
    CHECK ((wanted_by IS NULL) = (wanted_at IS NULL))
);
GRANT SELECT, INSERT, UPDATE (holder, epoch, renewed_at, wanted_by, wanted_at) ON owners TO parley_program;
