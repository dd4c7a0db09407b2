-- +goose Up

-- Answers to requests, events and their deliveries are no records: they are for who asks
-- again, reads on or waits to be told. The program may delete nothing; this function of
-- the owner's does, and nobody deletes what is younger.

-- +goose StatementBegin
CREATE FUNCTION refuse_change_while_young() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'DELETE' AND old.at < now() - tg_argv[0]::interval THEN
        RETURN old;
    END IF;
    RAISE EXCEPTION '% is append-only for %: % is refused', tg_table_name, tg_argv[0], lower(tg_op)
        USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
DROP TRIGGER append_only ON answers;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON answers FOR EACH ROW EXECUTE FUNCTION refuse_change_while_young('30 days');
CREATE INDEX answers_at ON answers (at);
DROP TRIGGER append_only ON events;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change_while_young('90 days');
CREATE INDEX deliveries_event ON deliveries (xid, event);

-- The last event that was forgotten: who wants to read on from before it cannot.
CREATE TABLE events_forgotten (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    xid  xid8    NOT NULL,
    id   bigint  NOT NULL
);
GRANT SELECT ON events_forgotten TO parley_program;

-- forget_old forgets up to so many answers, and as many events, of the oldest, and returns
-- how many it forgot; none where another does so. Events are read in their order, which
-- is that of their time but for transactions that were up at once.
-- +goose StatementBegin
CREATE FUNCTION forget_old(most int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    answered int;
    happened int;
BEGIN
    IF NOT pg_try_advisory_xact_lock(x'666f7267'::int) THEN -- "forg"
        RETURN 0;
    END IF;
    DELETE FROM answers WHERE (token, key) IN (
        SELECT token, key FROM answers WHERE at < now() - interval '30 days' ORDER BY at LIMIT most);
    GET DIAGNOSTICS answered = ROW_COUNT;
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
    RETURN answered + happened;
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION forget_old FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_old TO parley_program;
