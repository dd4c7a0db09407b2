package browser

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/lab/phone"
	"parley/lab/stage"
)

// The tests share a stage and a browser; each opens pages and adds people of its own.
var (
	shared  *stage.Stage
	chrome  *Browser
	picture = flag.String("pictures", "", "the folder where pictures of the pages are put; none are made where it is empty")
)

const (
	modules  = "../../web"
	patience = 30 * time.Second

	// Tones in Hz: what the client's telephone plays, and the browser's microphone.
	clientTone, pageTone = 700, 1100
)

func TestMain(m *testing.M) {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code := 1
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	if chrome != nil {
		_ = chrome.Close() // the tests are over
	}
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func setUp(ctx context.Context) (err error) {
	// Pictures of a call that rings take longer than an advisor would.
	plan := strings.NewReplacer("ring: 8s", "ring: 60s", "accept: 12s", "accept: 60s", "second_person: 5000", "second_person: 10").Replace(stage.Plan)
	if shared, err = stage.Open(ctx, stage.Options{Plan: plan, RTPTimeout: 5 * time.Second}); err != nil {
		shared = &stage.Stage{}
		return err
	}
	chrome, err = Start(ctx, modules, shared.Lab.Dir(), pageTone)
	return err
}

// scene is an advisor with the app open, and a client with a telephone.
type scene struct {
	*testing.T
	ctx     context.Context
	advisor *stage.Advisor
	client  *stage.Client
	app     *Page
}

// newScene is an advisor who has just signed in.
func newScene(t *testing.T, name string, look Look) *scene {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	s := &scene{T: t, ctx: ctx, advisor: &stage.Advisor{}}
	s.must(shared.ParleyJSON(ctx, s.advisor, "advisor", "add", name))
	api, err := shared.API(ctx, "--role", "advisor", "--advisor", s.advisor.ID)
	s.must(err)
	s.app, err = chrome.Open(ctx, shared.URL+"/app/#token="+api.Token, look)
	s.must(err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		if complaints, err := s.app.Complaints(ctx); err == nil && len(complaints) > 0 {
			t.Errorf("the page's console says: %q", complaints)
		}
		_ = s.app.Close(ctx) // it may have crashed
	})
	return s
}

func (s *scene) must(err error) {
	s.Helper()
	if err == nil {
		return
	}
	if s.app != nil {
		shot := filepath.Join(os.TempDir(), "parley-"+s.Name()+".png")
		var sip []string
		complaints, _ := s.app.Complaints(s.ctx)
		_ = s.app.Run(s.ctx, "window.sip", &sip)
		if s.app.do(s.ctx, "shot", map[string]any{"path": shot}, nil) == nil {
			s.Logf("the page: %s; its console: %q; its phone:\n%s", shot, complaints, strings.Join(sip, "\n"))
		}
	}
	lines := strings.Split(strings.TrimSpace(shared.Log()), "\n")
	s.Fatalf("%v\n%s", err, strings.Join(lines[max(0, len(lines)-30):], "\n"))
}

// looksGood checks what the page shows now with axe, and takes pictures of it in every
// look.
func (s *scene) looksGood(name string) {
	s.Helper()
	violations, err := s.app.Axe(s.ctx)
	s.must(err)
	for _, v := range violations {
		s.Errorf("%s: %s", name, v)
	}
	if *picture == "" {
		return
	}
	s.must(os.MkdirAll(*picture, 0o755))
	for _, look := range Looks {
		s.must(s.app.Shot(s.ctx, look, filepath.Join(*picture, name+"-"+look.Name+".png")))
	}
}

// verify makes the app the advisor's phone: the app is called, and the code that it
// shows is keyed on its own keypad.
func (s *scene) verify() {
	s.Helper()
	s.must(s.app.Click(s.ctx, "button", "Use this app as my phone"))
	s.answerAndKey()
	s.must(s.app.SeeRole(s.ctx, "heading", "Verified"))
}

func (s *scene) answerAndKey() {
	s.Helper()
	s.must(s.app.Click(s.ctx, "button", "Answer"))
	s.must(s.app.SeeRole(s.ctx, "group", "Keypad"))
	code, err := s.app.Read(s.ctx, ".code")
	s.must(err)
	for _, digit := range code {
		s.must(s.app.Click(s.ctx, "button", string(digit)))
	}
	s.must(s.app.Click(s.ctx, "button", "hash key"))
}

// onLine is an advisor whose app is their phone, and who is on line.
func onLine(t *testing.T, name string, look Look) *scene {
	s := newScene(t, name, look)
	s.verify()
	s.must(s.app.Click(s.ctx, "button", "Go on line"))
	s.must(s.app.See(s.ctx, "You are on line"))
	return s
}

var clients atomic.Int64

// rings is a client's call up to the advisor's app ringing.
func (s *scene) rings() *phone.Call {
	s.Helper()
	s.someClient()
	loan, err := shared.Lend(s.ctx, s.client, s.advisor, "--topic", "a cat")
	s.must(err)
	call, err := s.client.Phone.Dial(s.ctx, loan.DID)
	s.must(err)
	s.must(call.Keys(s.ctx, "#")) // the price is cut short
	s.must(s.app.See(s.ctx, "Blue Heron is calling"))
	return call
}

// someClient is a client with money, for the scene.
func (s *scene) someClient() {
	s.Helper()
	var err error
	s.client, err = shared.NewClient(s.ctx, "Blue Heron", fmt.Sprintf("+49151%08d", 10000000+clients.Add(1)), 2000)
	s.must(err)
}

// accepts takes the call in the app, which also says yes to the voice that asks.
func (s *scene) accepts() {
	s.Helper()
	s.must(s.app.Click(s.ctx, "button", "Accept"))
}

// hearEachOther proves the sound in both directions.
func (s *scene) hearEachOther(call *phone.Call) {
	s.Helper()
	call.Tone(clientTone)
	s.must(s.app.Hears(s.ctx, clientTone))
	s.must(call.HearsTone(s.ctx, pageTone, patience))
}

func (s *scene) ends(call *phone.Call) {
	s.Helper()
	select {
	case <-call.Ended():
	case <-time.After(patience):
		s.Fatal("the client's phone was left in its call")
	}
}

func (s *scene) recorded(disposition string) stage.Call {
	s.Helper()
	call, err := shared.LastCall(s.ctx, s.client)
	s.must(err)
	if call.Disposition != disposition {
		s.Errorf("recorded as %q by %s, cause %d; want %q", call.Disposition, call.EndedBy, call.Cause, disposition)
	}
	return call
}
