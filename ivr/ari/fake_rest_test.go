package ari

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// serve answers one command.
func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/ari")
	if path == "/events" {
		f.accept(w, r)
		return
	}
	text, _ := io.ReadAll(r.Body)
	var body j
	_ = json.Unmarshal(text, &body)
	line := r.Method + " " + path
	if r.URL.RawQuery != "" {
		line += "?" + r.URL.RawQuery
	}
	if len(text) > 0 {
		line += " " + string(text)
	}
	f.mu.Lock()
	if !strings.HasPrefix(path, "/events/user/") && !strings.HasPrefix(path, "/asterisk/variable") {
		f.commands = append(f.commands, line)
	}
	f.change()
	answer := f.answer
	f.mu.Unlock()
	if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
		refuse(w, 401, "Authentication required")
		return
	}
	if answer != nil && answer(r.Method, path, w) != 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.change()
	parts := append(strings.Split(strings.Trim(path, "/"), "/"), "", "", "")
	switch parts[0] {
	case "asterisk":
		switch {
		case parts[1] == "variable" && r.Method == "POST":
			f.owner = r.URL.Query().Get("value")
			w.WriteHeader(204)
		case parts[1] == "variable":
			reply(w, j{"value": f.owner})
		case parts[1] == "info":
			reply(w, j{"system": j{"version": f.version, "entity_id": "x"}, "status": j{"startup_time": f.startup}})
		default:
			reply(w, []j{})
		}
	case "events":
		if !f.deaf {
			f.write(j{"type": "ChannelUserevent", "eventname": parts[2], "userevent": j{}})
		}
		w.WriteHeader(204)
	case "applications":
		if id, is := strings.CutPrefix(r.URL.Query().Get("eventSource"), "channel:"); is && id != "" && f.channels[id] == nil {
			refuse(w, 422, "Event source does not exist")
			return
		}
		reply(w, j{"name": "parley"})
	case "channels":
		f.channel(w, r, parts[1:], body)
	case "bridges":
		f.bridge(w, r, parts[1:])
	case "playbacks":
		f.playback(w, r.Method, parts[1])
	default:
		refuse(w, 404, "Resource not found")
	}
}

func (f *fake) channel(w http.ResponseWriter, r *http.Request, parts []string, body j) {
	if parts[0] == "" {
		if f.failLists > 0 {
			f.failLists--
			refuse(w, 500, "Internal Server Error")
			return
		}
		list := []j{}
		for _, c := range f.channels {
			list = append(list, c.json())
		}
		reply(w, list)
		return
	}
	c := f.channels[parts[0]]
	if r.Method == "POST" && parts[1] == "" {
		if c != nil {
			refuse(w, 409, "Channel with given unique ID already exists")
			return
		}
		c = &fakeChannel{id: parts[0], state: "Ringing", args: "out," + parts[0], body: body}
		f.channels[c.id] = c
		reply(w, c.json())
		return
	}
	if c == nil {
		refuse(w, 404, "Channel not found")
		return
	}
	switch what := r.Method + " " + parts[1]; what {
	case "GET ":
		reply(w, c.json())
	case "DELETE ":
		cause := 16
		fmt.Sscan(r.URL.Query().Get("reason_code"), &cause)
		f.destroyLocked(c.id, cause, 0)
		w.WriteHeader(204)
	case "POST play":
		f.played[parts[2]] = c.id
		reply(w, j{"id": parts[2], "state": "queued"})
		if !f.mute && !c.thrown {
			go f.finish(parts[2], "done")
		}
	case "POST snoop":
		f.channels[parts[2]] = &fakeChannel{id: parts[2], state: "Up", app: "Stasis", args: "snoop"}
		f.start(f.channels[parts[2]])
		reply(w, f.channels[parts[2]].json())
	case "POST continue":
		f.emitLocked(j{"type": "StasisEnd", "channel": c.json()})
		c.app = "Playback"
		w.WriteHeader(204)
	default:
		if what == "POST answer" {
			c.state = "Up"
		}
		w.WriteHeader(204)
	}
}

// finish ends a playback after the time it takes.
func (f *fake) finish(id, state string) {
	time.Sleep(30 * time.Millisecond) // what the fake's prompts last
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finishLocked(id, state)
}

func (f *fake) finishLocked(id, state string) {
	if on, playing := f.played[id]; playing {
		delete(f.played, id)
		f.emitLocked(j{"type": "PlaybackFinished", "playback": j{"id": id, "state": state, "target_uri": "channel:" + on}})
	}
}

func (f *fake) playback(w http.ResponseWriter, method, id string) {
	if f.played[id] == "" {
		refuse(w, 404, "Playback not found")
		return
	}
	if method == "DELETE" {
		f.finishLocked(id, "done")
		w.WriteHeader(204)
		return
	}
	reply(w, j{"id": id})
}

func (f *fake) bridge(w http.ResponseWriter, r *http.Request, parts []string) {
	members, exists := f.bridges[parts[0]]
	switch {
	case parts[0] == "":
		list := []j{}
		for id, members := range f.bridges {
			list = append(list, j{"id": id, "channels": members})
		}
		reply(w, list)
	case r.Method == "POST" && parts[1] == "":
		f.bridges[parts[0]] = []string{}
		reply(w, j{"id": parts[0]})
	case !exists:
		refuse(w, 404, "Bridge not found")
	case r.Method == "DELETE":
		for _, id := range slices.Clone(members) {
			f.leaveBridge(f.channels[id])
			f.channels[id].thrown = true
		}
		delete(f.bridges, parts[0])
		w.WriteHeader(204)
	case parts[1] == "addChannel":
		for id := range strings.SplitSeq(r.URL.Query().Get("channel"), ",") {
			c := f.channels[id]
			if c == nil {
				refuse(w, 400, "Channel not found")
				return
			}
			c.bridge = parts[0]
			f.bridges[parts[0]] = append(f.bridges[parts[0]], id)
			f.emitLocked(j{"type": "ChannelEnteredBridge", "channel": c.json(), "bridge": j{"id": parts[0]}})
		}
		w.WriteHeader(204)
	case parts[1] == "removeChannel":
		id := r.URL.Query().Get("channel")
		if !slices.Contains(members, id) {
			refuse(w, 422, "Channel not in this bridge")
			return
		}
		f.leaveBridge(f.channels[id])
		w.WriteHeader(204)
	default:
		reply(w, j{"id": parts[0], "channels": members})
	}
}

// accept takes an events connection; the last one wins.
func (f *fake) accept(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock() // the application is there before the client knows that it is connected
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		f.mu.Unlock()
		return
	}
	f.write(j{"type": "ApplicationReplaced", "application": "parley"})
	f.events = conn
	f.wire, _ = r.Context().Value(wireKey{}).(*wire)
	f.sockets++
	f.commands = append(f.commands, "GET /events?"+r.URL.RawQuery)
	f.change()
	f.mu.Unlock()
	_, _, _ = conn.Read(context.Background()) // answers pings until the connection ends
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(j{"message": message})
}
