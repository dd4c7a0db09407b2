-- +goose Up

-- How the sound of a call's legs was, by RTP and RTCP (RFC 3550), in the order in which
-- they came: the clients', then the advisor's. Written once the call is settled; a call
-- whose program died has none.
CREATE TABLE leg_quality (
    call          text   NOT NULL REFERENCES calls,
    leg           int    NOT NULL CHECK (leg >= 1),
    side          text   NOT NULL CHECK (side IN ('client', 'advisor')),
    received      bigint NOT NULL CHECK (received >= 0),      -- packets, from the party
    lost          bigint NOT NULL CHECK (lost >= 0),          -- of them, on their way to us
    sent          bigint NOT NULL CHECK (sent >= 0),          -- packets, to the party
    sent_lost     bigint NOT NULL CHECK (sent_lost >= 0),     -- of them, as the party reports
    jitter_us     bigint NOT NULL CHECK (jitter_us >= 0),     -- of what came from the party
    round_trip_us bigint NOT NULL CHECK (round_trip_us >= 0), -- 0 where the party reports none
    PRIMARY KEY (call, leg)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON leg_quality FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON leg_quality EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON leg_quality TO parley_program;
