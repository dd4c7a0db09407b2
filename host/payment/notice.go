package payment

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// noticeAge is how old a notice's signature may be: who has seen one cannot send it
// again later. Clocks may differ by as much in the other direction.
const noticeAge = 5 * time.Minute

// ReadNotice reads an event that Stripe sent to our webhook.
func (s *Stripe) ReadNotice(header http.Header, body []byte) (n Notice, ok bool, err error) {
	if !s.signed(header.Get("Stripe-Signature"), body) {
		return n, false, ErrSignature
	}
	var event struct {
		Type string
		Data struct{ Object intent }
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return n, false, fmt.Errorf("%w: it is no JSON", ErrUnreadable)
	}
	if event.Type != "payment_intent.succeeded" {
		return n, false, nil
	}
	i := event.Data.Object
	if i.ID == "" || i.AmountReceived <= 0 || i.Currency == "" {
		return n, false, fmt.Errorf("%w: a payment without an ID, an amount or a currency", ErrUnreadable)
	}
	n = Notice{Payment: i.Metadata.Payment, Reference: i.ID, Client: i.Metadata.Client,
		Amount: i.AmountReceived, Currency: strings.ToUpper(i.Currency)}
	if n.Payment == "" {
		n.Payment = i.ID
	}
	for _, name := range []string{n.Payment, n.Reference, n.Client} {
		if strings.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' }) || len(name) > 255 {
			return Notice{}, false, fmt.Errorf("%w: an ID is no ID", ErrUnreadable)
		}
	}
	return n, true, nil
}

// signed checks a Stripe-Signature: "t=UNIX,v1=HEX[,v1=HEX...]", where each v1 is the
// HMAC-SHA256 of "UNIX.body". There is more than one while the secret is being rolled.
func (s *Stripe) signed(signature string, body []byte) bool {
	if s.webhookSecret == "" {
		return false
	}
	var at string
	var given [][]byte
	for part := range strings.SplitSeq(signature, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "t":
			at = value
		case "v1":
			if sum, err := hex.DecodeString(value); err == nil {
				given = append(given, sum)
			}
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if age := s.now().Sub(time.Unix(seconds, 0)).Abs(); err != nil || age > noticeAge {
		return false
	}
	mac := hmac.New(sha256.New, []byte(s.webhookSecret))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	want := mac.Sum(nil)
	for _, sum := range given {
		if hmac.Equal(sum, want) { // in constant time
			return true
		}
	}
	return false
}
