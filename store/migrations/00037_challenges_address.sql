-- +goose Up

-- The calls to a number are counted, and the checks of their codes, whichever line they are for.
CREATE INDEX challenges_address ON challenges (address_hash, made_at);
