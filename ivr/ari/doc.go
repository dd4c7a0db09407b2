// Package ari connects the call scripts to Asterisk. It is the only package that
// knows what a channel, a bridge or a Stasis application is: the others see legs
// and talks.
//
// Commands go over HTTP, each with a context and a time-out of its own; events come
// over one websocket. Its reader moves every event straight into the state of the
// leg or talk that it concerns, and waits for nobody, so nothing is queued, dropped
// or brought out of order. Each connection is an epoch, at whose beginning Asterisk
// lists what it has: events of the gap are lost, and the list is compared with what
// we know. "It is gone" and "we could not ask" are never mixed. An event of our own,
// sent through Asterisk again and again, proves that all older ones have come; and a
// variable in Asterisk names the process that owns the application, so that the one
// that was replaced, even while it was not looking, touches no call any more.
//
// # Other words for the same
//
// The Go library github.com/CyCoreSystems/ari has long been the way to ARI. Who knows
// it finds here:
//
//	native.Connect(&native.Options{})   Open(ctx, Config{}), which gives up when ctx ends
//	ari.Client, Application             Switch, Config.App
//	StasisStart, then a handler         Switch.Serve: a goroutine for each
//	ChannelHandle                       ivr.Leg
//	channel.StageOriginate, Exec        Switch.Dial: asks, rings, and says why not
//	channel.Answer, Hangup              Leg.Answer, Leg.Hangup(cause)
//	ext/play: play.Play, play.Prompt    Leg.Play, Leg.Gather
//	play matchers: MatchHash, MatchLen  ivr.Entry.Most; '#' always ends an entry
//	ext/audiouri                        Prompts, made elsewhere from a catalogue
//	channel.MOH, channel.Ring           Leg.Entertain
//	channel.Snoop                       Leg.Whisper, Leg.Ask
//	BridgeHandle, AddChannel            Switch.Bridge, ivr.Talk
//	ext/bridgemon                       Talk.Over
//	bus.Subscribe, Events.StasisEnd     Leg.Context: hanging up is cancellation
//	ari.NewKey                          a leg's ID, chosen before the command is sent
//
// Ours exists because that one cannot be had from the module proxy, and because it
// loses what a meter lives on: it drops a subscriber's events past 100 in silence,
// nobody can receive its ApplicationReplaced, it reconnects unseen without asking
// what happened meanwhile, its commands have neither context nor time-out, and it
// never notices a connection that is dead but open.
package ari
