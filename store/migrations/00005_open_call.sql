-- +goose Up

-- open_call opens a call's record and sets money aside for it. It is a function
-- because it is one question with one answer, asked of the rows for which callers
-- wait in line: as one statement they are locked for one round trip, not for six.
--
-- The lock order of everything that moves money: the advisor, then the client's
-- account, then the call. Each statement below sees what others committed while
-- the locks were waited for (READ COMMITTED, and the function is volatile), so the
-- counts of one client and one advisor are exact. The count of all calls is not
-- under a lock: calls that open in the same instant may pass it by as many.
--
-- The loan is the fencing token of whoever calls by it: one that ended since the
-- caller was identified opens nothing ("loan over"). An advisor is busy also while a
-- talk request reserves them for another client.
--
-- outcome: held, conflict, no client, no advisor, currency, loan over, client busy, no
-- funds, advisor busy or all busy; amount: what is held, or with "no funds" available.
-- +goose StatementBegin
CREATE FUNCTION open_call(_opening jsonb, OUT outcome text, OUT amount bigint) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    _id          text        := _opening ->> 'id';
    _kind        text        := _opening ->> 'kind';
    _did         text        := _opening ->> 'did';
    _ani         text        := _opening ->> 'ani';
    _loan        text        := nullif(_opening ->> 'loan', '');
    _client      text        := _opening ->> 'client';
    _advisor     text        := _opening ->> 'advisor';
    _line        text        := nullif(_opening ->> 'line', '');
    _plan        bigint      := _opening ->> 'plan';
    _terms       jsonb       := _opening -> 'terms';
    _started_at  timestamptz := _opening ->> 'started_at';
    _least       bigint      := _opening ->> 'least';
    _most        bigint      := _opening ->> 'most';
    _all         int         := _opening ->> 'all';
    _per_client  int         := _opening ->> 'per_client';
    _per_advisor int         := _opening ->> 'per_advisor';
    account      accounts;
    earlier      calls;
    hold         holds;
BEGIN
    -- Who has too little is told so without waiting in line for the advisor.
    SELECT posted - held INTO amount FROM accounts
        WHERE id = 'client/' || _client AND posted - held < _least
          AND NOT EXISTS (SELECT FROM calls WHERE id = _id)
          AND (SELECT count(*) FROM calls WHERE client = _client AND ended_at IS NULL) < _per_client;
    IF FOUND THEN
        outcome := 'no funds';
        RETURN;
    END IF;

    PERFORM FROM advisors WHERE id = _advisor FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'no advisor';
        RETURN;
    END IF;
    SELECT * INTO account FROM accounts WHERE id = 'client/' || _client FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'no client';
        RETURN;
    END IF;

    SELECT * INTO earlier FROM calls WHERE id = _id;
    IF FOUND THEN
        SELECT * INTO hold FROM holds WHERE call = _id AND number = 1;
        -- A call that has ended is no answer either: nobody may be rung for it.
        IF (earlier.kind, earlier.did, earlier.ani, earlier.loan, earlier.client, earlier.advisor, earlier.line,
            earlier.plan, earlier.terms, earlier.started_at, earlier.ended_at, hold.least, hold.most)
           IS NOT DISTINCT FROM
           (_kind, _did, _ani, _loan, _client, _advisor, _line,
            _plan, _terms, _started_at, NULL::timestamptz, _least, _most) THEN
            outcome := 'held';
            amount := hold.amount;
        ELSE
            outcome := 'conflict';
        END IF;
        RETURN;
    END IF;

    amount := account.posted - account.held;
    outcome := CASE
        WHEN account.currency IS DISTINCT FROM _terms ->> 'currency' THEN 'currency'
        WHEN (SELECT count(*) FROM calls WHERE client = _client AND ended_at IS NULL) >= _per_client THEN 'client busy'
        WHEN _loan IS NOT NULL
            AND NOT EXISTS (SELECT FROM loans WHERE id = _loan AND until > clock_timestamp()) THEN 'loan over'
        WHEN amount < _least THEN 'no funds'
        WHEN EXISTS (SELECT FROM loans WHERE advisor = _advisor AND client <> _client
            AND reserves AND until > clock_timestamp()) THEN 'advisor busy'
        WHEN (SELECT count(*) FROM calls WHERE advisor = _advisor AND ended_at IS NULL) >= _per_advisor THEN 'advisor busy'
        WHEN (SELECT count(*) FROM calls WHERE ended_at IS NULL) >= _all THEN 'all busy'
        ELSE 'held'
        END;
    IF outcome <> 'held' THEN
        RETURN;
    END IF;

    amount := least(_most, amount);
    INSERT INTO calls (id, kind, did, ani, loan, client, advisor, line, plan, terms, started_at)
        VALUES (_id, _kind, _did, _ani, _loan, _client, _advisor, _line, _plan, _terms, _started_at)
        ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN -- opened in this instant, for another client and advisor
        outcome := 'conflict';
        RETURN;
    END IF;
    UPDATE accounts SET held = held + open_call.amount
        WHERE id = account.id AND posted - held >= open_call.amount;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'account % has less than was seen under its lock', account.id;
    END IF;
    INSERT INTO holds (call, number, account, least, most, amount)
        VALUES (_id, 1, account.id, _least, _most, open_call.amount);
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION open_call FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_call TO parley_program;
