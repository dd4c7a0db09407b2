-- +goose Up

-- open_call counts what is open, for which there are partial indexes. Each call that ends
-- leaves an entry in them that is dead. Reading an index in order, Postgres marks such
-- entries as dead, skips them from then on and reuses their place; reading it into a bitmap,
-- which it thinks cheaper for some tens of rows, it looks at the row of every one of them
-- again, at each call, until a vacuum: which in a table of a million calls comes after two
-- hundred thousand have ended. And where a tenth of all calls is open, it thinks it cheapest
-- to read them all, each with its terms: 1.2 ms of 10,000 calls, by index 0.5.
ALTER FUNCTION open_call SET enable_bitmapscan = off;
ALTER FUNCTION open_call SET enable_seqscan = off;
