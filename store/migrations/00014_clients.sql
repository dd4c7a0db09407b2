-- +goose Up

-- Whose deletion was asked for: what they were called, and how they were reached, is
-- overwritten; the books keep the ID.
ALTER TABLE clients ADD deleted_at timestamptz;
ALTER TABLE advisors ADD deleted_at timestamptz;
GRANT UPDATE (alias, phone_sealed, phone_hash, phone_mask, deleted_at) ON clients TO parley_program;
GRANT UPDATE (deleted_at) ON advisors TO parley_program;
GRANT UPDATE (topic) ON loans TO parley_program;

-- Whoever would change one of them changes nothing: they are not there any more.
-- +goose StatementBegin
CREATE FUNCTION pass_over_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN old.deleted_at IS NULL THEN new END;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER deleted_is_deleted BEFORE UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION pass_over_deleted();
CREATE TRIGGER deleted_is_deleted BEFORE UPDATE ON advisors FOR EACH ROW EXECUTE FUNCTION pass_over_deleted();

-- A token that was exchanged for another is good for a moment more.
GRANT UPDATE (until) ON tokens TO parley_program;

-- How much clients let themselves spend in any 24 hours and any 7 days. A cap is never
-- changed: of those of one period whose time has come, the last that was set holds.
CREATE TABLE caps (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client     text        NOT NULL REFERENCES clients,
    period     text        NOT NULL CHECK (period IN ('day', 'week')),
    amount     bigint      CHECK (amount >= 0), -- NULL: no cap
    set_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    holds_from timestamptz NOT NULL
);
CREATE INDEX caps_client ON caps (client, period, id DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON caps FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON caps EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON caps TO parley_program;

-- caps_of are a client's caps that hold now, and what was charged in their time. The
-- clock counts, not the transaction's beginning: whoever asks under the account's lock
-- has waited for it.
-- +goose StatementBegin
CREATE FUNCTION caps_of(_client text) RETURNS TABLE (period text, amount bigint, charged bigint) LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY SELECT c.period, c.amount, (
        SELECT coalesce(sum(t.amount), 0)::bigint FROM transfers t
        WHERE t.debit = 'client/' || _client AND t.kind IN ('advisor share', 'platform share', 'appointment fee', 'appointment platform fee')
          AND t.at > clock_timestamp() - CASE c.period WHEN 'day' THEN interval '24 hours' ELSE interval '168 hours' END)
    FROM (
        SELECT DISTINCT ON (k.period) k.period, k.amount FROM caps k
        WHERE k.client = _client AND k.holds_from <= clock_timestamp() ORDER BY k.period, k.id DESC
    ) c WHERE c.amount IS NOT NULL;
END
$$;
-- +goose StatementEnd

-- may_hold is what may be set aside of a client's money, by whoever has locked the
-- account: what is available, within each cap less what was charged in its time and
-- what is held now. cap_left is what the caps alone would allow; NULL without caps.
-- +goose StatementBegin
CREATE FUNCTION may_hold(_client text, OUT amount bigint, OUT cap_left bigint) LANGUAGE plpgsql STABLE AS $$
DECLARE
    account accounts;
BEGIN
    SELECT * INTO account FROM accounts a WHERE a.id = 'client/' || _client;
    amount := account.posted - account.held;
    IF EXISTS (SELECT FROM caps c WHERE c.client = _client) THEN
        SELECT min(greatest(0, k.amount - k.charged - account.held)) INTO cap_left FROM caps_of(_client) k;
        amount := least(amount, cap_left);
    END IF;
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION caps_of, may_hold FROM PUBLIC;
GRANT EXECUTE ON FUNCTION caps_of, may_hold TO parley_program;

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
-- What it holds is within the client's caps, see may_hold: under the account's lock, so
-- that no number of calls at once can pass them.
--
-- Whoever opens it must own its Asterisk in that epoch, where one is named, and until
-- this transaction ends nobody else becomes the owner ("not owner").
--
-- outcome: held, not owner, conflict, no client, no advisor, currency, loan over, client busy, cap
-- reached, no funds, advisor busy or all busy; amount: what is held, or with "cap
-- reached" and "no funds" what may be.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION open_call(_opening jsonb, OUT outcome text, OUT amount bigint) LANGUAGE plpgsql VOLATILE AS $$
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
    _cap_left    bigint;
BEGIN
    IF _opening ->> 'asterisk' <> '' THEN
        PERFORM FROM owners WHERE asterisk = _opening ->> 'asterisk' AND epoch = (_opening ->> 'epoch')::bigint FOR KEY SHARE;
        IF NOT FOUND THEN
            outcome := 'not owner';
            RETURN;
        END IF;
    END IF;

    -- Who has too little is told so without waiting in line for the advisor.
    SELECT m.amount, m.cap_left INTO amount, _cap_left FROM may_hold(_client) m
        WHERE m.amount < _least
          AND NOT EXISTS (SELECT FROM calls WHERE id = _id)
          AND (SELECT count(*) FROM calls WHERE client = _client AND ended_at IS NULL) < _per_client;
    IF FOUND THEN
        outcome := CASE WHEN _cap_left < _least THEN 'cap reached' ELSE 'no funds' END;
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

    SELECT m.amount, m.cap_left INTO amount, _cap_left FROM may_hold(_client) m;
    outcome := CASE
        WHEN account.currency IS DISTINCT FROM _terms ->> 'currency' THEN 'currency'
        WHEN (SELECT count(*) FROM calls WHERE client = _client AND ended_at IS NULL) >= _per_client THEN 'client busy'
        WHEN _loan IS NOT NULL
            AND NOT EXISTS (SELECT FROM loans WHERE id = _loan AND until > clock_timestamp()) THEN 'loan over'
        WHEN _cap_left < _least THEN 'cap reached'
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
    INSERT INTO events (type, client, advisor, data)
        VALUES ('call.opened', _client, _advisor, jsonb_build_object(
            'call', _id, 'talk', _loan, 'held', open_call.amount, 'currency', account.currency));
END
$$;
-- +goose StatementEnd
