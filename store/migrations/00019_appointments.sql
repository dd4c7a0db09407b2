-- +goose Up

-- A talk that was asked for at a time. The time is an instant; the zone is whose clocks
-- it is told by. The terms are those that were in force when it was asked for, and hold for
-- its call.
--
-- asked -> accepted by the advisor, or proposed (the advisor's other time) -> accepted
-- by the client. Then calling (we call both) or open (a number is lent, the client
-- dials in), and over: whoever reads the states below knows how.
CREATE TABLE appointments (
    id             text        PRIMARY KEY,
    client         text        NOT NULL REFERENCES clients,
    advisor        text        NOT NULL REFERENCES advisors,
    mode           text        NOT NULL CHECK (mode IN ('host_calls', 'dial_in')),
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL CHECK (ends_at > starts_at),
    zone           text        NOT NULL,             -- IANA
    topic          text        NOT NULL,
    phone_sealed   bytea,                            -- NULL: the client's own
    phone_hash     bytea,
    phone_mask     text,
    terms          jsonb       NOT NULL,
    state          text        NOT NULL DEFAULT 'asked',
    until          timestamptz,                      -- a client who comes later has not come
    held           bigint      NOT NULL DEFAULT 0 CHECK (held >= 0),    -- set aside when it was accepted
    no_show        bigint      NOT NULL DEFAULT 0,   -- of this, what a client who does not come pays
    fee            bigint      NOT NULL DEFAULT 0,   -- what one who did not come has paid
    loan           text        UNIQUE REFERENCES loans, -- the last that was made for it
    reminded_until timestamptz,                      -- reminders of before were sent, or left out
    verify_asked   boolean     NOT NULL DEFAULT false,
    made_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT appointments_state CHECK (state IN ('asked', 'proposed', 'accepted', 'calling', 'open',
        'kept', 'declined', 'cancelled', 'client_no_show', 'advisor_no_show', 'no_funds', 'missed')),
    CHECK (num_nulls(phone_sealed, phone_hash, phone_mask) IN (0, 3)),
    CHECK (state NOT IN ('accepted', 'calling', 'open') OR until > starts_at AND reminded_until IS NOT NULL),
    CHECK (state NOT IN ('calling', 'open') OR loan IS NOT NULL),
    CHECK (no_show BETWEEN 0 AND held AND fee BETWEEN 0 AND no_show AND (fee = 0 OR state = 'client_no_show')),
    CONSTRAINT appointments_one_an_advisor EXCLUDE USING gist (advisor WITH =, tstzrange(starts_at, ends_at) WITH &&)
        WHERE (state IN ('accepted', 'calling', 'open')),
    CONSTRAINT appointments_one_a_client EXCLUDE USING gist (client WITH =, tstzrange(starts_at, ends_at) WITH &&)
        WHERE (state IN ('accepted', 'calling', 'open'))
);
CREATE INDEX appointments_due ON appointments (starts_at, id) WHERE state IN ('asked', 'proposed', 'accepted', 'open');
CREATE INDEX appointments_next ON appointments (advisor, starts_at) WHERE state IN ('accepted', 'calling', 'open');
CREATE INDEX appointments_client ON appointments (client, id);
CREATE INDEX appointments_advisor ON appointments (advisor, id);
GRANT SELECT, INSERT, UPDATE (mode, starts_at, ends_at, topic, phone_sealed, phone_hash, phone_mask, state, until, held,
    no_show, fee, loan, reminded_until, verify_asked) ON appointments TO parley_program;

-- One that is over stays as it is, but for words and numbers of a client who is deleted.
-- +goose StatementBegin
CREATE FUNCTION refuse_change_of_past_appointment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'DELETE' OR old.state NOT IN ('asked', 'proposed', 'accepted', 'calling', 'open')
       AND (new.client, new.advisor, new.mode, new.starts_at, new.ends_at, new.terms, new.state, new.held, new.no_show, new.fee, new.loan)
           IS DISTINCT FROM
           (old.client, old.advisor, old.mode, old.starts_at, old.ends_at, old.terms, old.state, old.held, old.no_show, old.fee, old.loan) THEN
        RAISE EXCEPTION 'appointment % is a record: % is refused', old.id, lower(tg_op) USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER over_is_over BEFORE UPDATE OR DELETE ON appointments FOR EACH ROW EXECUTE FUNCTION refuse_change_of_past_appointment();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON appointments EXECUTE FUNCTION refuse_change();

-- What became of an appointment, step by step: who did it, and how it stood then.
CREATE TABLE appointment_changes (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    appointment text        NOT NULL REFERENCES appointments,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    side        text        NOT NULL CHECK (side IN ('client', 'advisor', 'host')),
    who         text        NOT NULL, -- whose token, or what of the host
    state       text        NOT NULL,
    mode        text        NOT NULL,
    starts_at   timestamptz NOT NULL,
    loan        text        REFERENCES loans,
    reason      text        NOT NULL
);
CREATE INDEX appointment_changes_of ON appointment_changes (appointment, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON appointment_changes FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON appointment_changes EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON appointment_changes TO parley_program;

-- The line of a number that was lent ahead follows the one that was verified since.
GRANT UPDATE (line) ON loans TO parley_program;

-- What is set aside for appointments is in an account of its own, out of the client's
-- and back, before anything is paid of it.
ALTER TABLE accounts
    DROP CONSTRAINT accounts_check,
    ADD CONSTRAINT accounts_check CHECK (id IS NOT DISTINCT FROM CASE kind
        WHEN 'client'       THEN 'client/' || client
        WHEN 'advisor'      THEN 'advisor/' || advisor || '/' || currency
        WHEN 'platform'     THEN 'platform/' || currency
        WHEN 'outside'      THEN 'outside/' || currency
        WHEN 'adjustments'  THEN 'adjustments/' || currency
        WHEN 'appointments' THEN 'appointments/' || currency
        END);
ALTER TABLE transfers
    DROP CONSTRAINT transfers_kind_check,
    ADD CONSTRAINT transfers_kind_check
        CHECK (kind IN ('deposit', 'advisor share', 'platform share', 'refund', 'adjustment', 'payout',
            'appointment held', 'appointment released', 'appointment fee', 'appointment platform fee'));
