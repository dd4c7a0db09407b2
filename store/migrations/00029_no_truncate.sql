-- What is only added to is not emptied either, by nobody.

-- +goose Up
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON vault_key EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON challenge_checks EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON assertions EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ratings EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON call_revisions EXECUTE FUNCTION refuse_change();
