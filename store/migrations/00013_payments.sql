-- +goose Up

-- What a client pays with, for payments of which the client is not asked: the
-- provider's names for it, sealed. One each; one that was removed is overwritten.
CREATE TABLE payment_means (
    client     text        PRIMARY KEY REFERENCES clients,
    provider   text        NOT NULL,
    label      text        NOT NULL, -- what the client knows it by, such as "Visa 4242"
    sealed     bytea,                -- NULL: removed
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((sealed IS NULL) = (label = ''))
);
GRANT SELECT, INSERT, UPDATE (provider, label, sealed, changed_at) ON payment_means TO parley_program;

-- A payment is written before its provider is asked, under the ID by which it is asked:
-- whatever is lost, it is asked again by the same ID, and money is taken once. The
-- deposit that it pays has this ID as its key. What it is paid with is kept here, as it
-- was when it was asked, until an answer is there.
--
-- A payment that was declined may still be paid later, if its owner confirms it; one
-- that was paid never changes.
CREATE TABLE payments (
    id         text        PRIMARY KEY CHECK (id <> ''),
    client     text        NOT NULL REFERENCES clients,
    call       text        REFERENCES calls, -- for which it was bought; NULL: for none
    amount     bigint      NOT NULL CHECK (amount > 0),
    currency   text        NOT NULL,
    provider   text        NOT NULL,
    sealed     bytea,                        -- what it is paid with
    state      text        NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'paid', 'declined')),
    reference  text        NOT NULL DEFAULT '', -- the provider's name for it, once known
    reason     text        NOT NULL DEFAULT '', -- why it was declined
    asked_by   text        NOT NULL,
    asked_at   timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    CHECK ((state = 'asked') = (sealed IS NOT NULL) AND (state = 'asked') = (ended_at IS NULL)),
    CHECK ((state = 'declined') = (reason <> ''))
);
CREATE INDEX payments_asked ON payments (client) WHERE state = 'asked';
GRANT SELECT, INSERT, UPDATE (sealed, state, reference, reason, ended_at) ON payments TO parley_program;

-- +goose StatementBegin
CREATE FUNCTION refuse_change_of_paid_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'DELETE' OR old.state = 'paid' OR old.state = 'declined' AND new.state <> 'paid' THEN
        RAISE EXCEPTION 'payment % is %: % is refused', old.id, old.state, lower(tg_op) USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER paid_is_paid BEFORE UPDATE OR DELETE ON payments FOR EACH ROW EXECUTE FUNCTION refuse_change_of_paid_payment();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON payments EXECUTE FUNCTION refuse_change();
