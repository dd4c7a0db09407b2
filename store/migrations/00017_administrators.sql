-- +goose Up

-- An activation holds from a time on, now or later. One that is yet to come can be
-- withdrawn by one more row, which names it and holds nothing itself.
ALTER TABLE plan_activations
    ADD holds_from timestamptz,
    ADD withdraws  bigint CONSTRAINT plan_activations_withdrawn_once UNIQUE REFERENCES plan_activations;
ALTER TABLE plan_activations DISABLE TRIGGER append_only;
UPDATE plan_activations SET holds_from = at;
ALTER TABLE plan_activations ENABLE TRIGGER append_only;
ALTER TABLE plan_activations
    ALTER holds_from SET NOT NULL,
    ALTER holds_from SET DEFAULT now();
CREATE INDEX plan_activations_holds_from ON plan_activations (holds_from, id) WHERE withdraws IS NULL;

-- The plan in force is that of the newest whose time has come.
CREATE VIEW standing_activations AS
    SELECT id, version, by_whom, at, holds_from FROM plan_activations a
    WHERE withdraws IS NULL AND NOT EXISTS (SELECT FROM plan_activations w WHERE w.withdraws = a.id);
GRANT SELECT ON standing_activations TO parley_program;

-- Money that an administrator moves, with a reason: back to a client for a call
-- (refund), out of the house (payout), or to correct an account (adjustment). It is
-- moved at once by one transfer, whose key is its ID; or, where "until" is set, once
-- another person has approved it.
CREATE TABLE adjustments (
    id           text        PRIMARY KEY,
    kind         text        NOT NULL CHECK (kind IN ('refund', 'adjustment', 'payout')),
    client       text        REFERENCES clients,
    advisor      text        REFERENCES advisors,
    call         text        REFERENCES calls,
    debit        text        NOT NULL,
    credit       text        NOT NULL CHECK (credit <> debit),
    currency     text        NOT NULL,
    amount       bigint      NOT NULL CHECK (amount > 0),
    reason       text        NOT NULL CHECK (reason <> ''),
    asked_by     text        NOT NULL CHECK (btrim(asked_by) <> ''),
    asked_at     timestamptz NOT NULL DEFAULT now(),
    until        timestamptz,          -- by then another person must approve; NULL: one is enough
    second_above bigint      NOT NULL, -- the plan's limits.second_person when it was asked
    CONSTRAINT adjustments_large_by_two CHECK (until IS NOT NULL OR amount <= second_above),
    CHECK (kind <> 'refund' OR call IS NOT NULL AND client IS NOT NULL),
    UNIQUE (id, asked_by),
    FOREIGN KEY (debit, currency) REFERENCES accounts (id, currency),
    FOREIGN KEY (credit, currency) REFERENCES accounts (id, currency)
);
CREATE INDEX adjustments_call ON adjustments (call) WHERE call IS NOT NULL;
CREATE INDEX adjustments_waiting ON adjustments (until) WHERE until IS NOT NULL;
CREATE INDEX adjustments_client ON adjustments (client, id) WHERE client IS NOT NULL;
CREATE INDEX adjustments_advisor ON adjustments (advisor, id) WHERE advisor IS NOT NULL;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON adjustments FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON adjustments EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON adjustments TO parley_program;

-- What became of one that waited. Whoever asked may take it back, never approve it.
CREATE TABLE adjustment_decisions (
    adjustment text        PRIMARY KEY,
    asked_by   text        NOT NULL,
    decision   text        NOT NULL CHECK (decision IN ('approved', 'refused')),
    by_whom    text        NOT NULL CHECK (btrim(by_whom) <> ''),
    at         timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (adjustment, asked_by) REFERENCES adjustments (id, asked_by),
    CONSTRAINT adjustment_decisions_by_another CHECK (decision = 'refused' OR lower(btrim(by_whom)) <> lower(btrim(asked_by)))
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON adjustment_decisions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON adjustment_decisions EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON adjustment_decisions TO parley_program;

-- Corrections have an account of their own, so that the outside's balance stays what
-- really came in and went out. No kind but these passes, and none without its owner.
ALTER TABLE accounts
    DROP CONSTRAINT accounts_check,
    ADD CONSTRAINT accounts_check CHECK (id IS NOT DISTINCT FROM CASE kind
        WHEN 'client'      THEN 'client/' || client
        WHEN 'advisor'     THEN 'advisor/' || advisor || '/' || currency
        WHEN 'platform'    THEN 'platform/' || currency
        WHEN 'outside'     THEN 'outside/' || currency
        WHEN 'adjustments' THEN 'adjustments/' || currency
        END);
ALTER TABLE transfers
    DROP CONSTRAINT transfers_kind_check,
    ADD CONSTRAINT transfers_kind_check
        CHECK (kind IN ('deposit', 'advisor share', 'platform share', 'refund', 'adjustment', 'payout'));

-- What audits found, so that "no fault" can be looked up later. One is the night's.
CREATE TABLE ledger_audits (
    id        text        PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    by_whom   text        NOT NULL,
    night     date        UNIQUE,
    took_ms   bigint      NOT NULL,
    accounts  bigint      NOT NULL,
    transfers bigint      NOT NULL,
    calls     bigint      NOT NULL,
    acts      bigint      NOT NULL,
    log_row   bigint      NOT NULL, -- the audit log's last, and its hash
    log_hash  text        NOT NULL,
    faults    bigint      NOT NULL,
    first     jsonb       NOT NULL  -- of the faults, as many as fit
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_audits FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger_audits EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON ledger_audits TO parley_program;

-- What an administrator searches by.
CREATE INDEX audit_log_who ON audit_log (who, id);
CREATE INDEX calls_started ON calls (started_at);
CREATE INDEX clients_alias ON clients (lower(alias) text_pattern_ops);
