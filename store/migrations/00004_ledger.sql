-- +goose Up

-- An account is a place where money is. Only a client's account carries its
-- balance: "posted" is what transfers brought and took, "held" the sum of its
-- unresolved holds, and what is available, posted - held, is never below zero,
-- whoever writes. The balances of the others are derived from their transfers (see
-- the view balances), since a row that every call updates would make all calls
-- wait for each other.
CREATE TABLE accounts (
    id       text   PRIMARY KEY,
    kind     text   NOT NULL,
    client   text   REFERENCES clients,
    advisor  text   REFERENCES advisors,
    currency text   NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    posted   bigint,
    held     bigint,
    CHECK (id = CASE kind
        WHEN 'client'   THEN 'client/' || client                       -- one currency each
        WHEN 'advisor'  THEN 'advisor/' || advisor || '/' || currency
        WHEN 'platform' THEN 'platform/' || currency
        WHEN 'outside'  THEN 'outside/' || currency                    -- where money enters from
        END),
    CHECK ((kind = 'client') = (posted IS NOT NULL) AND (kind = 'client') = (held IS NOT NULL)),
    CONSTRAINT accounts_never_below_zero CHECK (held >= 0 AND posted - held >= 0),
    UNIQUE (id, currency)
);
GRANT SELECT, INSERT, UPDATE (posted, held) ON accounts TO parley_program;

-- A transfer takes an amount from the debit account to the credit account. Both
-- are of its currency, so every currency adds up to zero. One key moves money once
-- for each kind: the call's ID, or the payment's for a deposit.
CREATE TABLE transfers (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    kind     text        NOT NULL CHECK (kind IN ('deposit', 'advisor share', 'platform share')),
    key      text        NOT NULL CHECK (key <> ''),
    debit    text        NOT NULL,
    credit   text        NOT NULL CHECK (credit <> debit),
    currency text        NOT NULL,
    amount   bigint      NOT NULL CHECK (amount > 0),
    UNIQUE (key, kind),
    FOREIGN KEY (debit, currency) REFERENCES accounts (id, currency),
    FOREIGN KEY (credit, currency) REFERENCES accounts (id, currency)
);
CREATE INDEX transfers_debit ON transfers (debit);
CREATE INDEX transfers_credit ON transfers (credit);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON transfers FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON transfers EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON transfers TO parley_program;

CREATE VIEW balances AS
    SELECT a.id, a.kind, a.currency,
        coalesce(a.posted,
            (SELECT coalesce(sum(amount), 0)::bigint FROM transfers WHERE credit = a.id) -
            (SELECT coalesce(sum(amount), 0)::bigint FROM transfers WHERE debit = a.id)) AS posted,
        coalesce(a.held, 0) AS held
    FROM accounts a;
GRANT SELECT ON balances TO parley_program;

-- A call is open from its hold until it has ended. Then its row is the CDR and is
-- never changed again.
CREATE TABLE calls (
    id             text        PRIMARY KEY,
    kind           text        NOT NULL CHECK (kind <> ''),
    did            text        NOT NULL,
    ani            text        NOT NULL, -- masked
    loan           text        REFERENCES loans,
    client         text        REFERENCES clients,
    advisor        text        REFERENCES advisors,
    line           text        REFERENCES lines,
    plan           bigint      REFERENCES plans,
    terms          jsonb,                -- NULL when nothing was held
    started_at     timestamptz NOT NULL, -- by the program's clock
    opened_at      timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz,
    ended_by       text,
    disposition    text,
    cause          int,                  -- Q.850
    ring_ms        bigint CHECK (ring_ms >= 0),
    talk_ms        bigint CHECK (talk_ms >= 0), -- of all segments, cut to a whole millisecond
    held           bigint,
    charge         bigint,
    advisor_share  bigint CHECK (advisor_share >= 0),
    platform_share bigint CHECK (platform_share >= 0),
    CONSTRAINT calls_open_or_ended CHECK (
        num_nulls(ended_at, ended_by, disposition, cause, ring_ms, talk_ms, held, charge, advisor_share, platform_share) IN (0, 10)),
    CONSTRAINT calls_charge_within_hold CHECK (charge BETWEEN 0 AND held),
    CONSTRAINT calls_shares_are_the_charge CHECK (advisor_share + platform_share = charge)
);
CREATE INDEX calls_open_client ON calls (client) WHERE ended_at IS NULL;
CREATE INDEX calls_open_advisor ON calls (advisor) WHERE ended_at IS NULL;
CREATE INDEX calls_client ON calls (client, id);
CREATE INDEX calls_advisor ON calls (advisor, id);
CREATE INDEX calls_loan ON calls (loan);
GRANT SELECT, INSERT, UPDATE (ended_at, ended_by, disposition, cause, ring_ms, talk_ms,
    held, charge, advisor_share, platform_share) ON calls TO parley_program;

-- +goose StatementBegin
CREATE FUNCTION refuse_change_of_ended_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'DELETE' OR old.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'call % is a record: % is refused', old.id, lower(tg_op) USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER ended_is_ended BEFORE UPDATE OR DELETE ON calls FOR EACH ROW EXECUTE FUNCTION refuse_change_of_ended_call();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON calls EXECUTE FUNCTION refuse_change();

-- One stretch of talk. Nanoseconds, since the charge is computed from them again
-- by the audit: cut to milliseconds, a second begun could become one not begun.
CREATE TABLE segments (
    call      text        NOT NULL REFERENCES calls,
    number    int         NOT NULL CHECK (number >= 1),
    joined_at timestamptz NOT NULL, -- for people; lengths are never computed from it
    talk_ns   bigint      NOT NULL DEFAULT 0 CHECK (talk_ns >= 0), -- proved so far, or in all once the call has ended
    PRIMARY KEY (call, number)
);
GRANT SELECT, INSERT, UPDATE (talk_ns) ON segments TO parley_program;

-- +goose StatementBegin
CREATE FUNCTION refuse_change_of_ended_talk() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text := CASE WHEN tg_op = 'INSERT' THEN new.call ELSE old.call END;
BEGIN
    IF tg_op = 'DELETE' OR EXISTS (SELECT FROM calls WHERE id = changed AND ended_at IS NOT NULL) THEN
        RAISE EXCEPTION 'the talk of call % is a record: % is refused', changed, lower(tg_op) USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER ended_is_ended BEFORE INSERT OR UPDATE OR DELETE ON segments FOR EACH ROW EXECUTE FUNCTION refuse_change_of_ended_talk();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON segments EXECUTE FUNCTION refuse_change();

-- What was set aside of a client's money for a call: number 1 when it opened, one
-- more for each top-up. Of what was asked, least <= amount <= most was granted.
-- An amount of 0 is a call that free seconds alone pay for.
CREATE TABLE holds (
    call    text        NOT NULL REFERENCES calls,
    number  int         NOT NULL CHECK (number >= 1),
    account text        NOT NULL REFERENCES accounts,
    least   bigint      NOT NULL CHECK (least >= 0),
    most    bigint      NOT NULL,
    amount  bigint      NOT NULL CHECK (amount BETWEEN least AND most),
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (call, number),
    UNIQUE (call, number, amount)
);
CREATE INDEX holds_account ON holds (account);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON holds FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON holds EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON holds TO parley_program;

-- How a hold ended, at most once: what was captured and what was released are all
-- of it.
CREATE TABLE hold_resolutions (
    call     text        NOT NULL,
    number   int         NOT NULL,
    amount   bigint      NOT NULL, -- the hold's
    captured bigint      NOT NULL CHECK (captured >= 0),
    released bigint      NOT NULL CHECK (released >= 0),
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (call, number),
    FOREIGN KEY (call, number, amount) REFERENCES holds (call, number, amount),
    CONSTRAINT hold_resolutions_are_the_hold CHECK (captured + released = amount)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON hold_resolutions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON hold_resolutions EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON hold_resolutions TO parley_program;
