package ari

import (
	"testing"
	"time"

	"parley/ivr"
)

func TestQualityAsAsteriskSaysIt(t *testing.T) {
	for said, want := range map[string]*ivr.Quality{
		"ssrc=1618392799;themssrc=924322346;lp=45;rxjitter=0.000000;rxcount=590;txjitter=0.000375;txcount=646;rlp=7;rtt=0.250000;rxmes=0.000000;txmes=49.354590": {
			Received: 590, Lost: 45, Sent: 646, SentLost: 7, Jitter: 375 * time.Microsecond, RoundTrip: 250 * time.Millisecond},
		// After keys on a leg that then ended.
		"ssrc=1;themssrc=2;lp=0;rxjitter=0.000000;rxcount=72;txjitter=1540.627500;txcount=12;rlp=0;rtt=0.000000": {Received: 72, Sent: 12},
		"ssrc=1;themssrc=0;lp=0;rxcount=0;txcount=0":                                                             nil,
		"": nil,
		"lp=NaN;rxcount=1e99;txcount=x;;=;rlp=-4;rtt=Inf": {Received: mostPackets},
	} {
		got := quality(said)
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%q: %+v, want %+v", said, got, want)
		}
	}
}
