package payment

import (
	"context"
	"errors"
	"net/http"
	"sync"
)

// The methods that [Test] knows. Every other is [Unusable].
const (
	TestOK       = "test_ok"
	TestDeclined = "test_declined"
	TestLost     = "test_lost" // pays, and the first answer is lost
)

// Test is a provider for demonstrations and tests: nobody pays. It sends no notices.
type Test struct {
	mu   sync.Mutex
	lost map[string]bool // the charges whose first answer was
}

func (*Test) Name() string { return "test" }

func (t *Test) Charge(_ context.Context, c Charge) (Answer, error) {
	answer := Answer{Reference: "test_" + c.ID}
	switch c.Means.Method {
	case TestOK:
	case TestDeclined:
		answer.Declined = Refused
	case TestLost:
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.lost[c.ID] {
			if t.lost == nil {
				t.lost = map[string]bool{}
			}
			t.lost[c.ID] = true
			return Answer{}, errors.New("the answer was lost, as asked for")
		}
	default:
		answer.Declined = Unusable
	}
	return answer, nil
}

func (*Test) ReadNotice(http.Header, []byte) (Notice, bool, error) {
	return Notice{}, false, ErrSignature
}
