-- +goose Up

-- What the client is paid, by the house, where the advisor does not come: as the plan said
-- when the appointment was accepted, and what was paid.
ALTER TABLE appointments
    ADD advisor_no_show bigint NOT NULL DEFAULT 0 CHECK (advisor_no_show >= 0),
    ADD compensation    bigint NOT NULL DEFAULT 0,
    ADD CHECK (compensation IN (0, advisor_no_show) AND (compensation = 0 OR state = 'advisor_no_show'));
GRANT UPDATE (advisor_no_show, compensation) ON appointments TO parley_program;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION refuse_change_of_past_appointment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_op = 'DELETE' OR old.state NOT IN ('asked', 'proposed', 'accepted', 'calling', 'open')
       AND (new.client, new.advisor, new.mode, new.starts_at, new.ends_at, new.terms, new.state, new.held, new.no_show, new.fee, new.loan,
            new.advisor_no_show, new.compensation)
           IS DISTINCT FROM
           (old.client, old.advisor, old.mode, old.starts_at, old.ends_at, old.terms, old.state, old.held, old.no_show, old.fee, old.loan,
            old.advisor_no_show, old.compensation) THEN
        RAISE EXCEPTION 'appointment % is a record: % is refused', old.id, lower(tg_op) USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN new;
END
$$;
-- +goose StatementEnd

ALTER TABLE transfers
    DROP CONSTRAINT transfers_kind_check,
    ADD CONSTRAINT transfers_kind_check
        CHECK (kind IN ('deposit', 'advisor share', 'platform share', 'refund', 'adjustment', 'payout',
            'appointment held', 'appointment released', 'appointment fee', 'appointment platform fee', 'appointment compensation'));
