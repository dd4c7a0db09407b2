-- +goose Up

-- Which transaction last changed what Asterisk is to know of a line, so that only what
-- has changed since the last look is read (see 00010 for the order).
ALTER TABLE lines ADD endpoint_xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX lines_endpoints ON lines (endpoint_xid) WHERE kind <> 'phone' OR generation > 1;

-- +goose StatementBegin
CREATE FUNCTION note_changed_endpoint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.endpoint_xid := pg_current_xact_id();
    RETURN new;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER endpoint_changed BEFORE UPDATE ON lines FOR EACH ROW
    WHEN ((new.kind, new.generation, new.retired_at) IS DISTINCT FROM (old.kind, old.generation, old.retired_at))
    EXECUTE FUNCTION note_changed_endpoint();
