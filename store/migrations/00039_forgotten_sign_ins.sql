-- +goose Up

-- Whoever asks for a code adds a row, also strangers: it says when a number asked, and
-- nobody needs that for longer than the limits count, which is a day.
CREATE INDEX sign_ins_made_at ON sign_ins (made_at);

-- forget_old forgets up to so many answers, as many sign-ins and as many events, of the
-- oldest, and returns how many it forgot; none where another does so. Events are read in
-- their order, which is that of their time but for transactions that were up at once.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION forget_old(most int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    answered int;
    came     int;
    happened int;
BEGIN
    IF NOT pg_try_advisory_xact_lock(x'666f7267'::int) THEN -- "forg"
        RETURN 0;
    END IF;
    DELETE FROM answers WHERE (token, key) IN (
        SELECT token, key FROM answers WHERE at < now() - interval '30 days' ORDER BY at LIMIT most);
    GET DIAGNOSTICS answered = ROW_COUNT;
    DELETE FROM sign_ins WHERE id IN (
        SELECT id FROM sign_ins WHERE made_at < now() - interval '30 days' ORDER BY made_at LIMIT most);
    GET DIAGNOSTICS came = ROW_COUNT;
    WITH old AS (
        SELECT xid, id FROM (SELECT xid, id, at FROM events ORDER BY xid, id LIMIT most) AS first
        WHERE at < now() - interval '90 days'
    ), told AS (
        DELETE FROM deliveries d USING old WHERE (d.xid, d.event) = (old.xid, old.id)
    ), gone AS (
        DELETE FROM events e USING old WHERE (e.xid, e.id) = (old.xid, old.id) RETURNING e.xid, e.id
    ), last AS (
        INSERT INTO events_forgotten (xid, id) SELECT xid, id FROM gone ORDER BY xid DESC, id DESC LIMIT 1
        ON CONFLICT (one) DO UPDATE SET xid = excluded.xid, id = excluded.id
    )
    SELECT count(*) INTO happened FROM gone;
    RETURN answered + came + happened;
END
$$;
-- +goose StatementEnd
