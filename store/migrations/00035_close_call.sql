-- +goose Up

-- close_call closes a call's record and moves its money, once: in one round trip, and with
-- plans that each connection keeps. It locks as everything does that moves money: the
-- client's account, then the call.
--
-- A call that somebody waits for, because we placed it, or its loan is a turn or an
-- appointment, is closed only where _alone is false: by a caller who tells them in the
-- same transaction.
--
-- outcome: closed, closed before, followed (nothing was done), not owner, conflict (opened
-- for another client or advisor), other charge (closed with amount), or less: amount is
-- all that is held, and percent the advisor's part of it, and nothing was done.
-- +goose StatementBegin
CREATE FUNCTION close_call(_closing jsonb, _alone boolean, OUT outcome text, OUT amount bigint, OUT percent int)
    LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    _id       text   := _closing ->> 'id';
    _loan     text   := nullif(_closing ->> 'loan', '');
    _client   text   := nullif(_closing ->> 'client', '');
    _advisor  text   := nullif(_closing ->> 'advisor', '');
    _charge   bigint := _closing ->> 'charge';
    _account  text   := 'client/' || _client;
    _payee    text;
    _currency text;
    _held     bigint;
    call      calls;
BEGIN
    IF _closing ->> 'asterisk' <> '' THEN
        PERFORM FROM owners WHERE asterisk = _closing ->> 'asterisk' AND epoch = (_closing ->> 'epoch')::bigint FOR KEY SHARE;
        IF NOT FOUND THEN
            outcome := 'not owner';
            RETURN;
        END IF;
    END IF;
    IF _alone AND (EXISTS (SELECT FROM placements p WHERE p.call = _id)
                OR EXISTS (SELECT FROM waits WHERE loan = _loan)
                OR EXISTS (SELECT FROM appointments WHERE loan = _loan)) THEN
        outcome := 'followed';
        RETURN;
    END IF;

    PERFORM FROM accounts WHERE id = _account FOR NO KEY UPDATE;
    SELECT * INTO call FROM calls WHERE id = _id FOR NO KEY UPDATE;
    IF NOT FOUND THEN -- it never opened, and moves nothing
        INSERT INTO calls (id, kind, did, ani, loan, client, advisor, line, plan, started_at)
            VALUES (_id, _closing ->> 'kind', _closing ->> 'did', _closing ->> 'ani', _loan, _client, _advisor,
                nullif(_closing ->> 'line', ''), nullif((_closing ->> 'plan')::bigint, 0), (_closing ->> 'started_at')::timestamptz)
            ON CONFLICT (id) DO NOTHING;
        SELECT * INTO call FROM calls WHERE id = _id FOR NO KEY UPDATE;
    END IF;
    IF call.client IS DISTINCT FROM _client OR call.advisor IS DISTINCT FROM _advisor THEN
        outcome := 'conflict';
        RETURN;
    END IF;
    SELECT sum(h.amount) INTO _held FROM holds h WHERE h.call = _id; -- NULL: it holds nothing
    IF call.ended_at IS NOT NULL THEN
        amount := call.charge;
        outcome := CASE WHEN call.charge = least(_charge, coalesce(_held, 0)) THEN 'closed before' ELSE 'other charge' END;
        RETURN;
    END IF;
    IF _charge > coalesce(_held, 0) THEN
        outcome := 'less';
        amount := coalesce(_held, 0);
        percent := coalesce((call.terms ->> 'advisor_percent')::int, 0);
        RETURN;
    END IF;

    INSERT INTO segments (call, number, joined_at, talk_ns)
        SELECT _id, s.number, (s.talk ->> 'joined_at')::timestamptz, (s.talk ->> 'talk_ns')::bigint
        FROM jsonb_array_elements(_closing -> 'segments') WITH ORDINALITY AS s (talk, number)
        ON CONFLICT ON CONSTRAINT segments_pkey DO UPDATE SET talk_ns = excluded.talk_ns;
    UPDATE segments s SET talk_ns = 0
        WHERE s.call = _id AND s.number > jsonb_array_length(_closing -> 'segments');

    IF _held IS NOT NULL THEN
        _currency := call.terms ->> 'currency';
        _payee := 'advisor/' || _advisor || '/' || _currency;
        INSERT INTO hold_resolutions (call, number, amount, captured, released)
            SELECT _id, h.number, h.amount, h.taken, h.amount - h.taken
            FROM (SELECT h.number, h.amount, least(h.amount, greatest(0, _charge -
                    coalesce(sum(h.amount) OVER (ORDER BY h.number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0))) AS taken
                FROM holds h WHERE h.call = _id) h;
        UPDATE accounts SET posted = posted - _charge, held = held - _held WHERE id = _account;
        INSERT INTO accounts (id, kind, advisor, currency) VALUES (_payee, 'advisor', _advisor, _currency)
            ON CONFLICT (id) DO NOTHING;
        INSERT INTO transfers (kind, key, debit, credit, currency, amount)
            SELECT t.kind, _id, _account, t.credit, _currency, t.amount
            FROM (VALUES ('advisor share', _payee, (_closing ->> 'advisor_share')::bigint),
                ('platform share', 'platform/' || _currency, (_closing ->> 'platform_share')::bigint)) AS t (kind, credit, amount)
            WHERE t.amount > 0;
    END IF;

    UPDATE calls SET ended_at = now(), ended_by = _closing ->> 'ended_by', disposition = _closing ->> 'disposition',
        cause = (_closing ->> 'cause')::int, ring_ms = (_closing ->> 'ring_ms')::bigint, talk_ms = (_closing ->> 'talk_ms')::bigint,
        held = coalesce(_held, 0), charge = _charge,
        advisor_share = (_closing ->> 'advisor_share')::bigint, platform_share = (_closing ->> 'platform_share')::bigint
        WHERE id = _id;

    -- What was asked for was had: the loan is over, where it reserved the advisor.
    IF (_closing ->> 'talk_ms')::bigint > 0 THEN
        WITH ended AS (
            UPDATE loans SET until = now(), kept_until = now() + (kept_until - until)
            WHERE id = call.loan AND reserves AND until > now() RETURNING id, client, advisor
        )
        INSERT INTO events (type, client, advisor, data)
        SELECT 'talk.over', client, advisor, jsonb_build_object('talk', id, 'why', 'talked') FROM ended;
    END IF;
    IF _held IS NOT NULL THEN
        INSERT INTO events (type, client, advisor, data)
            VALUES ('call.ended', _client, _advisor, (_closing -> 'event') || jsonb_build_object('currency', _currency));
    END IF;
    outcome := 'closed';
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION close_call FROM PUBLIC;
GRANT EXECUTE ON FUNCTION close_call TO parley_program;
