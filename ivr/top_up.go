package ivr

import (
	"context"
	"errors"
	"time"

	"parley/ivr/money"
)

// buyMost bounds a purchase in a talk; what takes longer may still come, and then
// lengthens the talk at the next warning.
const buyMost = 20 * time.Second

// warn tells the client alone how much time is left and, where a key buys more, asks
// whether it is wanted. The talk and its meter go on beneath.
func (s *Service) warn(ctx context.Context, call *Call, left time.Duration) {
	if s.Unspoken {
		return
	}
	if !call.asking.TryLock() {
		return // they are being asked already
	}
	_, byMoney := call.Terms.Talk(call.Held)
	amount := call.Plan.TopUp.Amount
	if !byMoney || amount == 0 || !s.canBuy(ctx, call) {
		defer call.asking.Unlock()
		if err := call.Client.Whisper(ctx, call.language(), sayLeft(left)...); err != nil {
			s.Log.Warn("warning not heard", "call", call.ID, "left", left, "err", err)
		}
		return
	}
	call.mu.Lock()
	number := call.holds + call.declined + 1 // grows with each purchase, made or declined
	call.mu.Unlock()
	go s.offer(ctx, call, number, amount, left)
}

func (s *Service) canBuy(ctx context.Context, call *Call) bool {
	ctx, cancel := context.WithTimeout(ctx, extendMost)
	defer cancel()
	can, err := s.Payments.CanBuy(ctx, call.Loan.Client)
	if err != nil {
		s.Log.Warn("no top-up is offered", "call", call.ID, "err", err)
	}
	return can && err == nil
}

// offer asks the client to press 1 for more money, buys it, and wakes the meter, which
// holds it. It is called with call.asking locked.
func (s *Service) offer(ctx context.Context, call *Call, number int, amount money.Amount, left time.Duration) {
	words := append(sayLeft(left), "top-up-press-1")
	words = append(words, sayAmount(amount, call.Terms.Currency)...)
	key, err := call.Client.Ask(ctx, call.language(), Entry{Prompts: words, Most: 1, First: call.Plan.TopUp.KeyWithin})
	call.asking.Unlock()
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("warning not heard", "call", call.ID, "left", left, "err", err)
	}
	if err != nil || key != "1" {
		return
	}
	s.tellInTalk(ctx, call, "top-up-trying")
	// Not cut short by the end of the talk: the client has pressed the key.
	buying, cancel := context.WithTimeout(context.WithoutCancel(ctx), buyMost)
	defer cancel()
	err = s.Payments.Buy(buying, call.ID, number, call.Loan.Client, amount, call.Terms.Currency)
	s.Log.Info("top-up by key", "call", call.ID, "amount", amount, "err", err)
	switch {
	case err == nil:
		call.wakeMeter()
		s.tellInTalk(ctx, call, "top-up-done")
	case errors.Is(err, ErrPaymentDeclined):
		call.mu.Lock()
		call.declined++
		call.mu.Unlock()
		s.tellInTalk(ctx, call, "top-up-declined")
	default:
		s.tellInTalk(ctx, call, "top-up-unknown")
	}
}

// tellInTalk whispers to the client, unless the talk is over.
func (s *Service) tellInTalk(ctx context.Context, call *Call, what Prompt) {
	call.asking.Lock()
	defer call.asking.Unlock()
	if ctx.Err() != nil {
		return
	}
	if err := call.Client.Whisper(ctx, call.language(), what); err != nil && ctx.Err() == nil {
		s.Log.Warn("not heard in the talk", "call", call.ID, "prompt", what, "err", err)
	}
}

// wakeMeter has the meter look for money and for a plan to follow: at once, or as soon as
// it watches.
func (c *Call) wakeMeter() {
	select {
	case c.wake <- struct{}{}:
	default: // it is to look already
	}
}
