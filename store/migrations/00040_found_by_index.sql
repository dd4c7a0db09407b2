-- +goose Up

-- A client's account is looked for by the client, whenever the client is read. Advisors'
-- accounts, and the others, are found by their ID.
CREATE UNIQUE INDEX accounts_client ON accounts (client) WHERE client IS NOT NULL;

-- Whether an advisor is reserved now is asked all the time, and those who have been are many.
-- The clock decides, which no index can be asked; now() can, and is never later.
CREATE INDEX loans_reserving_advisor ON loans (advisor, until) WHERE reserves;
-- +goose StatementBegin
DO $$
DECLARE
    was text := pg_get_functiondef('open_call'::regproc);
    becomes text := replace(was, 'AND reserves AND until > clock_timestamp()', 'AND reserves AND until > now() AND until > clock_timestamp()');
BEGIN
    IF becomes = was THEN
        RAISE EXCEPTION 'open_call does not look for reserved loans as expected';
    END IF;
    EXECUTE becomes;
END
$$;
-- +goose StatementEnd

-- What clients gave an advisor, added up: the list of advisors shows it to every client, and
-- would otherwise read all calls of all of them.
CREATE TABLE advisor_stars (
    advisor text   PRIMARY KEY REFERENCES advisors,
    rated   bigint NOT NULL CHECK (rated > 0),
    stars   bigint NOT NULL CHECK (stars BETWEEN rated AND 5 * rated)
);
GRANT SELECT ON advisor_stars TO parley_program;

-- +goose StatementBegin
CREATE FUNCTION add_stars() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO advisor_stars AS a (advisor, rated, stars)
        SELECT advisor, 1, new.stars FROM calls WHERE id = new.call AND advisor IS NOT NULL
        ON CONFLICT (advisor) DO UPDATE SET rated = a.rated + 1, stars = a.stars + excluded.stars;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER added_up AFTER INSERT ON ratings FOR EACH ROW EXECUTE FUNCTION add_stars();
INSERT INTO advisor_stars (advisor, rated, stars)
    SELECT c.advisor, count(*), sum(r.stars) FROM ratings r JOIN calls c ON c.id = r.call WHERE c.advisor IS NOT NULL GROUP BY c.advisor;
