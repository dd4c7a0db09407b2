package ari

import (
	"strconv"
	"strings"
	"time"

	"parley/ivr"
)

// quality reads what Asterisk says of a leg's sound when it ends, such as
//
//	ssrc=1;themssrc=2;lp=45;rxjitter=0.000000;rxcount=590;txjitter=0.000375;txcount=646;rlp=0;rtt=0.000000
//
// lp and rxcount are of what came from the party, and so is txjitter, in spite of its
// name: it is what Asterisk reports of the party's sending. rlp and rtt are known only of
// phones that speak RTCP. Asterisk counts what is lost every five seconds: of the last
// seconds of a leg it knows nothing. It returns nil where there was no sound.
func quality(said string) *ivr.Quality {
	values := map[string]float64{}
	for field := range strings.SplitSeq(said, ";") {
		name, text, _ := strings.Cut(field, "=")
		if value, err := strconv.ParseFloat(text, 64); err == nil && value >= 0 {
			values[name] = value
		}
	}
	if values["rxcount"]+values["txcount"] == 0 {
		return nil
	}
	count := func(name string) int { return int(min(values[name], mostPackets)) }
	return &ivr.Quality{
		Received: count("rxcount"), Lost: count("lp"), Sent: count("txcount"), SentLost: count("rlp"),
		Jitter: plausible(values["txjitter"]), RoundTrip: plausible(values["rtt"]),
	}
}

const (
	mostPackets     = 1<<31 - 1 // more than a year of 20 ms
	mostImplausible = 10        // s: keys, whose packets bear an earlier time, once made a jitter of 1540
)

// plausible is a time, or 0 where it can be none.
func plausible(seconds float64) time.Duration {
	if seconds >= mostImplausible {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}
