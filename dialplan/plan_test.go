package dialplan

import (
	"errors"
	"strings"
	"testing"
	"time"

	"parley/ivr/money"
)

func example(t *testing.T) Plan {
	t.Helper()
	plan, err := Parse(Example)
	if err != nil {
		t.Fatalf("the example is refused:\n%v", err)
	}
	return plan
}

func TestTheExampleIsRead(t *testing.T) {
	p := example(t)
	if p.Currency != "EUR" || len(p.Numbers) != 3 || p.Numbers[2].DID != "+493055500103" || p.CallerID != "+493055500100" {
		t.Errorf("%+v", p)
	}
	premium := Rate{Rate: money.Rate{PerMinute: 349, Fee: 50, Increment: time.Second, Minimum: 30 * time.Second, Free: 10 * time.Second}, AdvisorPercent: 65}
	if p.Rates["premium"] != premium {
		t.Errorf("premium: %+v", p.Rates["premium"])
	}
	if l := p.Limits; l.Ring != 30*time.Second || l.Predetermined.Most != 30*time.Minute || l.Concurrent.All != 200 || len(l.Warnings) != 3 {
		t.Errorf("limits: %+v", l)
	}
	if _, listed := p.Number("+493055500999"); listed {
		t.Error("a number that is not in the plan is found")
	}
}

// Each case changes the example in one place and must be refused with one fault,
// at that place, which says what to write instead.
func TestEveryFaultNamesLineFieldAndRemedy(t *testing.T) {
	for _, c := range []struct{ name, from, to, fault string }{
		{"a limit is missing", "  ring: 30s ", "  #", "limits.ring: is missing; add it"},
		{"a field is unknown", "waiting: music", "wating: music", `wating: is not a field of the plan; the fields are currency`},
		{"a field is there twice", "language: en ", "currency: EUR\nlanguage: en ", "currency: stands here twice"},
		{"a number is not E.164", `"+493055500102"`, `"03055500102"`, `numbers[1].did: must be a number in E.164`},
		{"a number is there twice", `"+493055500102"`, `"+493055500101"`, "numbers[1].did: +493055500101 stands in the list twice"},
		{"a country is not one", "country: DE}\n\nrates", "country: Germany}\n\nrates", "numbers[2].country: must be two capital letters"},
		{"a rate is free", "per_minute: 199", "per_minute: 0", `rates.standard.per_minute: is "0"; must be a whole number from 1`},
		{"a price has a comma", "per_minute: 199", "per_minute: 1,99", `rates.standard.per_minute: is "1,99"`},
		{"an increment is no time", "increment: 1s          #", "increment: 1 #", `rates.standard.increment: is "1"; must be whole seconds`},
		{"half a second", "longest_talk: 60m", "longest_talk: 3600500ms", "limits.longest_talk"},
		{"there is no standard rate", "  standard: ", "  normal: ", `rates: a rate named "standard" is missing`},
		{"a currency nobody can say", "currency: EUR", "currency: XAU", `currency: is "XAU"; must be one of EUR`},
		{"the longest talk is too short", "longest_talk: 60m", "longest_talk: 10m", "limits.longest_talk: must be at least limits.predetermined.most (30m0s)"},
		{"the bounds cross", "least: 1m", "least: 6m", "limits.predetermined: must be least <= default <= most"},
		{"the warnings go up", "[2m, 1m, 20s]", "[1m, 2m]", "limits.warnings[1]: must go down"},
		{"a warning too late to be heard", "[2m, 1m, 20s]", "[2s]", "limits.warnings[0]"},
		{"too many tries", "entry_tries: 3", "entry_tries: 99", "limits.entry_tries: is \"99\"; must be a whole number from 1 to 5"},
		{"unlimited calls", "all: 200", "all: unlimited", "limits.concurrent.all"},
		{"a mapping is a list", "numbers: ", "numbers: {}\nx: ", "numbers: must be a list"},
		{"own prices cross", "own_price: {least: 99,", "own_price: {least: 999,", "limits.own_price: must be least <= most"},
		{"live calls do neither", "live_calls: keep ", "live_calls: end ", `limits.live_calls: is "end"; must be one of keep, follow`},
		{"a country is spelt out", "  AT: [mobile, fixed]", "  Austria: [mobile]", "destinations.Austria: must be two capital letters"},
		{"a premium number", "  AT: [mobile, fixed]", "  AT: [premium]", `destinations.AT[0]: is "premium"; must be one of mobile, fixed, voip`},
		{"the reminders go up", "remind: [24h, 10m]", "remind: [10m, 24h]", "appointments.remind[1]: must go down"},
		{"an advisor's rate is unknown", "# advisors:", "advisors: {adv_1: {rate: gold}}\n#", `advisors.adv_1.rate: there is no rate "gold"`},
		{"an advisor is no advisor", "# advisors:", "advisors: {anna: {}}\n#", "advisors.anna: must be an advisor's ID"},
		{"an advisor's least exceeds the longest", "# advisors:", "advisors: {adv_1: {predetermined: 2h}}\n#", "advisors.adv_1.predetermined: must not exceed the longest talk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _, found := strings.Cut(string(Example), c.from)
			if !found {
				t.Fatalf("the example has no %q", c.from)
			}
			_, err := Parse([]byte(strings.Replace(string(Example), c.from, c.to, 1)))
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("want faults, got %v", err)
			}
			for _, fault := range faults {
				if strings.Contains(fault.String(), c.fault) {
					if first := strings.Count(before, "\n"); fault.Line < first-6 || fault.Line > first+3 {
						t.Errorf("line %d, want about %d", fault.Line, first+1)
					}
					return
				}
			}
			t.Errorf("no fault says %q:\n%v", c.fault, err)
		})
	}
}

func TestAllFaultsAreTold(t *testing.T) {
	text := strings.NewReplacer("currency: EUR", "currency: XAU", "fee: 50", "fee: -1", "all: 200", "all: 0", "ring: 30s", "ring: 30").Replace(string(Example))
	_, err := Parse([]byte(text))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 4 {
		t.Fatalf("want four faults, got\n%v", err)
	}
	for i := 1; i < len(faults); i++ {
		if faults[i].Line < faults[i-1].Line {
			t.Errorf("not in the text's order:\n%v", faults)
		}
	}
}

// What a client who does not come pays is taken from what was held when they booked.
func TestNoFeeWhereNothingIsHeldForIt(t *testing.T) {
	text := strings.NewReplacer("hold: booking ", "hold: start ", "client_no_show: 0 ", "client_no_show: 100 ").Replace(string(Example))
	if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "appointments.client_no_show: must be 0 where hold is start") {
		t.Error(err)
	}
}

func TestWhatIsNotYAMLIsRefusedWithItsLine(t *testing.T) {
	for _, text := range []string{"", "currency: EUR\nlanguage: [en", "\t", "- 1", "42"} {
		if _, err := Parse([]byte(text)); !errors.As(err, new(Faults)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The administrator's word goes before the advisor's, and theirs before the
// host's; an advisor's wish stays within the plan's bounds.
func TestPredeterminedPrecedence(t *testing.T) {
	p := example(t)
	p.Advisors = map[string]Advisor{
		"adv_told":  {Predetermined: 10 * time.Minute, Rate: "premium"},
		"adv_short": {LongestTalk: 2 * time.Minute},
	}
	for _, c := range []struct {
		advisor string
		wish    time.Duration
		want    time.Duration
		by      string
	}{
		{"adv_any", 0, 5 * time.Minute, "host"},
		{"adv_any", 7 * time.Minute, 7 * time.Minute, "advisor"},
		{"adv_any", time.Second, time.Minute, "advisor"},
		{"adv_any", time.Hour, 30 * time.Minute, "advisor"},
		{"adv_told", 7 * time.Minute, 10 * time.Minute, "administrator"},
		{"adv_short", 0, 2 * time.Minute, "host"},
	} {
		terms := p.Terms(c.advisor, Wish{Predetermined: c.wish})
		if terms.Predetermined != c.want || terms.SetBy != c.by {
			t.Errorf("%s, wish %v: %v by %s, want %v by %s", c.advisor, c.wish, terms.Predetermined, terms.SetBy, c.want, c.by)
		}
	}
	if p.Terms("adv_told", Wish{}).RateName != "premium" || p.Terms("adv_any", Wish{}).RateName != "standard" {
		t.Error("the administrator's rate is not applied")
	}
}

func TestTermsBoundTheTalk(t *testing.T) {
	terms := example(t).Terms("adv_any", Wish{})
	if terms.Least() != 995 || terms.Most() != 60*199 {
		t.Errorf("least %v, most %v", terms.Least(), terms.Most())
	}
	if longest, byMoney := terms.Talk(1990); longest != 10*time.Minute || !byMoney {
		t.Errorf("19.90 buys %v, by money %v", longest, byMoney)
	}
	if longest, byMoney := terms.Talk(terms.Most()); longest != time.Hour || byMoney {
		t.Errorf("the price of the longest talk buys %v, by money %v", longest, byMoney)
	}
}

func TestDiffNamesWhatChanges(t *testing.T) {
	to := strings.NewReplacer("ring: 30s", "ring: 45s", `  - {did: "+493055500101", country: DE}`+"\n", "", "# advisors:", "advisors: {adv_1: {rate: premium}}\n#").Replace(string(Example))
	changes, err := Diff(Example, []byte(to))
	if err != nil {
		t.Fatal(err)
	}
	want := "+ advisors.adv_1.rate: premium\n~ limits.ring: 30s -> 45s\n- numbers[+493055500101].country: DE\n- numbers[+493055500101].did: +493055500101"
	if got := strings.Join(changes, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if same, err := Diff(Example, append([]byte("# a comment\n"), Example...)); err != nil || len(same) > 0 {
		t.Errorf("a comment is a change: %v, %v", same, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Example)
	f.Add([]byte("currency: &a [*a]"))
	f.Add([]byte("limits: {ring: {}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := Parse(text); err != nil && !errors.As(err, new(Faults)) {
			t.Errorf("not faults: %v", err)
		}
	})
}

// An advisor's own price holds within the plan's bounds, unless the administrator has
// named their rate.
func TestOwnPrice(t *testing.T) {
	p := example(t)
	p.Advisors = map[string]Advisor{"adv_told": {Rate: "premium"}}
	for _, c := range []struct {
		advisor    string
		wish, want money.Amount
	}{
		{"adv_any", 0, 199}, {"adv_any", 300, 300}, {"adv_any", 1, 99}, {"adv_any", 9999, 499}, {"adv_told", 300, 349},
	} {
		if got := p.Terms(c.advisor, Wish{PerMinute: c.wish}).Rate.PerMinute; got != c.want {
			t.Errorf("%s asks for %d: %d, want %d", c.advisor, c.wish, got, c.want)
		}
	}
}

// Only numbers of countries and kinds that the plan lists are called.
func TestOnlyListedDestinationsAreCalled(t *testing.T) {
	p := example(t)
	for number, why := range map[string]string{
		"+4915112345601":    "",
		"+493055500101":     "",
		"+436641234567":     "",
		"+499001234567":     "kind of number", // premium
		"+491805123456":     "kind of number", // shared cost
		"+498001234567":     "kind of number", // toll-free costs the one who is called
		"+4970012345678":    "kind of number", // personal
		"+441632960961":     "country",
		"+8835100012345":    "", // set below: an international network has no country
		"+882346123456":     "no numbers",
		"+49151":            "no numbers",
		"+49 151 12345601":  "not E.164",
		"015112345601":      "not E.164",
		"anonymous":         "not E.164",
		"+4915112345601x22": "not E.164",
	} {
		err := p.MayCall(number)
		if number == "+8835100012345" {
			if err == nil {
				t.Error("an international network can be called")
			}
			continue
		}
		if why == "" && err != nil || why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
			t.Errorf("%s: %v, want %q", number, err, why)
		}
	}
}

// People write their numbers as they do at home.
func TestNumbersAsPeopleWriteThem(t *testing.T) {
	plan := Plan{Numbers: []Number{{DID: "+493055500101", Country: "DE"}}}
	for written, want := range map[string]string{
		"0151 12345601": "+4915112345601", "+49 (151) 123-456.01": "+4915112345601", "0049 151 12345601": "+4915112345601", "+43 664 1234567": "+436641234567",
		"1": "", "": "", "hello": "", "+": "", "+999 1234567": "",
	} {
		if got, ok := plan.E164(written); got != want || ok != (want != "") {
			t.Errorf("%q is read as %q, %v; want %q", written, got, ok, want)
		}
	}
	if got, ok := (Plan{}).E164("0151 12345601"); ok {
		t.Errorf("without a country: %q", got)
	}
}
