package ari

import (
	"encoding/json"
	"errors"
	"time"
)

// event is what we read of any event of Asterisk; what else it says passes by.
type event struct {
	Type      string
	Name      string `json:"eventname"` // of an event of our own
	Timestamp string // by Asterisk's clock; used to know an event that came twice
	Args      []string
	Digit     string
	Cause     int  // Q.850
	TechCause int  `json:"tech_cause"` // SIP status
	Soft      bool // the hang-up was not the other side's BYE
	Channel   channel
	Bridge    bridge
	Playback  struct{ ID, State string }
	Replaces  *struct{ ID string } `json:"replace_channel"`

	at time.Time // when it was read, on the monotonic clock
}

// channel is what events and lists say of a channel.
type channel struct {
	ID       string
	Caller   struct{ Number string }
	Dialplan struct {
		App  string `json:"app_name"`
		Data string `json:"app_data"`
	}
	Vars struct {
		Audio string `json:"RTPAUDIOQOS"` // set when the channel is hung up
	} `json:"channelvars"`
}

// bridge is what events and lists say of a bridge.
type bridge struct {
	ID           string
	Channels     []string
	CreationTime string // by Asterisk's clock
}

// age is how long the bridge has been there; 0 where that cannot be said. The two
// clocks are taken to agree: one machine has both, or NTP keeps them.
func (b bridge) age() time.Duration {
	created, err := time.Parse("2006-01-02T15:04:05.000-0700", b.CreationTime)
	if err != nil {
		return 0
	}
	return max(0, time.Since(created))
}

// The events that move anything here. Asterisk is told to send no others: they
// are two thirds of all.
var wanted = []string{
	"StasisStart", "StasisEnd", "ChannelHangupRequest", "ChannelDestroyed", "ChannelDtmfReceived",
	"ChannelEnteredBridge", "ChannelLeftBridge", "PlaybackFinished", "ChannelUserevent", "ApplicationReplaced",
}

// decode reads an event. A field of another type than expected is passed over,
// as a field or an event that we do not know is.
func decode(text []byte, at time.Time) (event, error) {
	ev := event{at: at}
	err := json.Unmarshal(text, &ev)
	if errors.As(err, new(*json.UnmarshalTypeError)) {
		err = nil
	}
	return ev, err
}
