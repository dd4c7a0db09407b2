-- +goose Up

-- What these functions ask is the same for whoever calls: Postgres need not plan it again
-- for each client and advisor. What they call inherits it.
ALTER FUNCTION open_call SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION close_call SET plan_cache_mode = force_generic_plan;
