-- +goose Up

-- What an advisor asks for a minute, within the plan's bounds; 0: no wish.
ALTER TABLE advisors ADD per_minute bigint NOT NULL DEFAULT 0 CHECK (per_minute >= 0);
GRANT UPDATE (per_minute) ON advisors TO parley_program;

-- An advisor's app has a token of its own, and every token says who holds it: of two
-- administrators one proposes and the other approves.
ALTER TABLE tokens
    ADD advisor text REFERENCES advisors,
    ADD holder  text NOT NULL DEFAULT '',
    DROP CONSTRAINT tokens_role_check,
    ADD CONSTRAINT tokens_role_check CHECK (role IN ('site', 'client', 'advisor', 'admin')),
    ADD CONSTRAINT tokens_advisor_check CHECK ((role = 'advisor') = (advisor IS NOT NULL)),
    ADD CONSTRAINT tokens_holder_check CHECK (role <> 'admin' OR holder <> '') NOT VALID; -- of new ones
