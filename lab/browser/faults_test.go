package browser

import "testing"

// The websocket is cut in a call: nobody hears it, the phone comes back by itself, and
// hears of an end that was told to the old connection.
func TestTheWebsocketIsCutInACall(t *testing.T) {
	s := onLine(t, "Carla", Telephone)
	call := s.rings()
	s.accepts()
	s.hearEachOther(call)
	s.must(s.app.Run(s.ctx, "window.sockets.at(-1).close()", nil))
	s.hearEachOther(call)
	s.must(s.app.Run(s.ctx, "window.sockets.at(-1).close()", nil))
	s.must(call.Hangup(s.ctx))
	s.must(s.app.See(s.ctx, "The call has ended"))
	s.recorded("completed")
}

// A reload ends the call at once, not when Asterisk misses the sound, and the app is the
// phone again without being asked.
func TestAReloadInACall(t *testing.T) {
	s := onLine(t, "Dora", Telephone)
	call := s.rings()
	s.accepts()
	s.hearEachOther(call)
	s.must(s.app.Reload(s.ctx))
	s.ends(call)
	s.recorded("completed")
	s.must(s.app.See(s.ctx, "You are on line"))
	again := s.rings()
	s.must(s.app.Click(s.ctx, "button", "Decline"))
	s.ends(again)
	s.recorded("declined")
}

// Who crashes is missed by their silence; until then the client pays for nothing that
// could not be heard.
func TestACrashInACall(t *testing.T) {
	s := onLine(t, "Emma", Telephone)
	call := s.rings()
	s.accepts()
	s.hearEachOther(call)
	s.must(s.app.Crash(s.ctx))
	s.ends(call)
	s.recorded("completed")
}
