package browser

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/host/client"
)

// own is the advisor's token at the host, to see what the app has set.
func (s *scene) own() client.Client {
	s.Helper()
	api, err := shared.API(s.ctx, "--role", "advisor", "--advisor", s.advisor.ID)
	s.must(err)
	return api
}

func TestHoursAreSetAndShown(t *testing.T) {
	s := newScene(t, "Klara", Telephone)
	s.must(s.app.Click(s.ctx, "link", "You"))
	s.must(s.app.See(s.ctx, "whenever you are on line"))
	s.must(s.app.Click(s.ctx, "switch", "Only at set hours"))
	s.must(s.app.Fill(s.ctx, "Monday, span 1, from", "10:30"))
	s.must(s.app.Click(s.ctx, "button", "Add hours on Monday"))
	s.must(s.app.Fill(s.ctx, "Monday, span 2, to", "00:00"))
	s.must(s.app.Click(s.ctx, "button", "Remove span 1 of Friday"))
	s.must(s.app.Fill(s.ctx, "Closed days", "2027-12-24"))
	s.must(s.app.Click(s.ctx, "button", "Add day"))
	s.must(s.app.Click(s.ctx, "button", "Save hours"))
	s.must(s.app.See(s.ctx, "Saved"))
	s.looksGood("app-hours")
	hours, err := s.own().Hours(s.ctx, s.advisor.ID)
	s.must(err)
	monday := slices.DeleteFunc(slices.Clone(hours.Weekly), func(x client.Span) bool { return x.Day != "mon" })
	if hours.Zone != "Europe/Berlin" || len(hours.Weekly) != 5 || !slices.Equal(hours.Closed, []string{"2027-12-24"}) ||
		!slices.Equal(monday, []client.Span{{Day: "mon", From: "10:30", To: "17:00"}, {Day: "mon", From: "18:00", To: "24:00"}}) {
		t.Errorf("the hours are %+v", hours)
	}
	s.must(s.app.Reload(s.ctx))
	s.must(s.app.SeeRole(s.ctx, "button", "Remove span 2 of Monday"))
}

func TestPriceWordsAndPicture(t *testing.T) {
	s := newScene(t, "Lena", Telephone)
	s.must(s.app.Click(s.ctx, "link", "You"))
	s.must(s.app.Fill(s.ctx, "Your price a minute, EUR", "99"))
	s.must(s.app.Click(s.ctx, "button", "Save price"))
	s.must(s.app.See(s.ctx, "Check it against the hints"))
	s.must(s.app.Fill(s.ctx, "Your price a minute, EUR", "2.49"))
	s.must(s.app.Fill(s.ctx, "Shortest talk, minutes", "5"))
	s.must(s.app.Click(s.ctx, "button", "Save price"))
	s.must(s.app.See(s.ctx, "2.49 a minute"))
	s.must(s.app.Fill(s.ctx, "About you", "I know cats."))
	s.must(s.app.Fill(s.ctx, "Topics", "Cats, dogs"))
	s.must(s.app.Click(s.ctx, "button", "Save words"))
	s.must(s.app.See(s.ctx, "Saved"))
	file := filepath.Join(t.TempDir(), "face.png")
	s.must(writePicture(file))
	s.must(s.app.Choose(s.ctx, "Choose picture", file))
	s.must(s.app.SeeRole(s.ctx, "img", "Your picture"))
	s.looksGood("app-me")
	p, err := s.own().Advisor(s.ctx, s.advisor.ID)
	s.must(err)
	if p.Own.PerMinute != 249 || p.Own.Predetermined != 300 || p.Words != "I know cats." || !slices.Equal(p.Topics, []string{"Cats", "dogs"}) || p.Picture == "" {
		t.Errorf("the advisor is %+v, %+v", p, p.Own)
	}
	s.forgive("422") // the price out of bounds
}

func writePicture(path string) error {
	face := image.NewRGBA(image.Rect(0, 0, 256, 256))
	for i := range 256 * 256 {
		face.Set(i%256, i/256, color.RGBA{uint8(i % 256), 120, uint8(i / 256), 255})
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return png.Encode(file, face)
}

// forgive is for errors in the console that belong to the story.
func (s *scene) forgive(what string) {
	s.Helper()
	complaints, err := s.app.Complaints(s.ctx)
	s.must(err)
	for _, c := range complaints {
		if !strings.Contains(c, what) {
			s.Errorf("the page's console says: %q", c)
		}
	}
}

func TestTheGreetingIsUploadedRecordedAndRemoved(t *testing.T) {
	s := newScene(t, "Mara", Telephone)
	own := s.own()
	version := func() string {
		p, err := own.Advisor(s.ctx, s.advisor.ID)
		s.must(err)
		return p.Own.Greeting
	}
	s.must(s.app.Click(s.ctx, "link", "You"))
	s.must(s.app.See(s.ctx, "None yet"))
	s.must(s.app.Choose(s.ctx, "Upload file", filepath.Join(shared.Lab.Dir(), "tone.wav")))
	s.must(s.app.See(s.ctx, "Saved"))
	s.must(s.app.See(s.ctx, "In use"))
	uploaded := version()
	if sound, err := own.File(s.ctx, s.advisor.ID, "greeting"); err != nil || len(sound) < 8000 || uploaded == "" {
		t.Errorf("kept are %d bytes as %q: %v", len(sound), uploaded, err)
	}
	s.plays("The greeting, as clients hear it")

	s.must(s.app.Click(s.ctx, "button", "Record anew"))
	s.must(s.app.See(s.ctx, "0:02"))
	s.must(s.app.Run(s.ctx, `[...document.querySelectorAll("button")].find((b) => b.textContent.startsWith("Stop")).click()`, nil))
	s.must(s.app.SeeRole(s.ctx, "button", "Use this one"))
	s.looksGood("app-greeting-take")
	s.plays("Your recording")
	s.must(s.app.Click(s.ctx, "button", "Use this one"))
	s.must(s.app.See(s.ctx, "Saved"))
	recorded := version()
	if recorded == "" || recorded == uploaded {
		t.Errorf("the greeting is still %q", recorded)
	}
	s.looksGood("app-greeting")
	s.must(s.app.Reload(s.ctx))
	s.must(s.app.See(s.ctx, "In use"))
	s.plays("The greeting, as clients hear it")
	s.must(s.app.Click(s.ctx, "button", "Remove greeting"))
	s.must(s.app.See(s.ctx, "None yet"))
	if left := version(); left != "" {
		t.Errorf("the greeting %q is left", left)
	}
}

// plays has a player of the page play some of its sound.
func (s *scene) plays(name string) {
	s.Helper()
	var second float64
	s.must(s.app.Run(s.ctx, `new Promise((done, failed) => {
		const try_ = (left) => {
			const player = [...document.querySelectorAll("audio")].find((a) => a.ariaLabel === "`+name+`" && a.src);
			if (!player) return left ? setTimeout(try_, 100, left - 1) : failed(new Error("no player"));
			player.ontimeupdate = () => player.currentTime > 0.2 && (player.pause(), done(player.currentTime));
			player.play().catch(failed);
		};
		try_(100);
	})`, &second))
	if second <= 0.2 {
		s.Errorf("%s: played %v s", name, second)
	}
}

// After a call: what it brought, a note in it and after it, and no more calls of theirs.
func TestWhatRemainsOfACall(t *testing.T) {
	s := onLine(t, "Nora", Telephone)
	call := s.rings()
	s.accepts()
	s.hearEachOther(call)
	s.must(s.app.Click(s.ctx, "button", "Note"))
	s.must(s.app.Fill(s.ctx, "Your notes", "Her cat is called Mitzi."))
	s.must(s.app.See(s.ctx, "Kept."))
	s.looksGood("app-talks-note")
	s.must(call.Hangup(s.ctx))
	s.must(s.app.See(s.ctx, "You earned"))
	s.must(s.app.Fill(s.ctx, "Your notes", "Her cat is called Mitzi. Likes fish."))
	s.must(s.app.See(s.ctx, "Kept."))
	s.must(s.app.Click(s.ctx, "button", "Block this client"))
	s.looksGood("app-block")
	s.must(s.app.Click(s.ctx, "button", "Block"))
	s.must(s.app.See(s.ctx, "Blue Heron is blocked"))
	s.must(s.app.Click(s.ctx, "button", "Done"))
	s.must(s.app.Click(s.ctx, "link", "Calls"))
	s.must(s.app.SeeRole(s.ctx, "img", "Earnings of the last 30 days, the same as in the list below"))
	s.must(s.app.See(s.ctx, "1 talk"))
	s.looksGood("app-past")
	s.must(s.app.Click(s.ctx, "button", "Blue Heron"))
	s.must(s.app.SeeRole(s.ctx, "button", "Unblock"))
	s.looksGood("app-client")
	own := s.own()
	note, err := own.Note(s.ctx, s.advisor.ID, s.client.ID)
	s.must(err)
	blocked, err := own.BlockedClients(s.ctx, s.advisor.ID)
	s.must(err)
	if note != "Her cat is called Mitzi. Likes fish." || len(blocked) != 1 {
		t.Errorf("noted %q, blocked %+v", note, blocked)
	}
	s.must(s.app.Click(s.ctx, "button", "Unblock"))
	s.must(s.app.SeeRole(s.ctx, "button", "Block this client"))
}
