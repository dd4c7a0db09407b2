package main

import (
	"log/slog"

	"parley/host"
	"parley/host/payment"
	"parley/store"
)

// As payment.provider.
const (
	paymentsOff    = "off"
	paymentsTest   = "test"
	paymentsStripe = "stripe"
)

// cashier takes clients' money as the settings say.
func (c config) cashier(s *store.Store, log *slog.Logger) *host.Cashier {
	switch c.paymentProvider {
	case paymentsTest:
		log.Warn("payments are made up: nobody pays")
		return host.NewCashier(s, new(payment.Test), log)
	case paymentsStripe:
		return host.NewCashier(s, payment.NewStripe(c.stripeURL, c.stripeKey, c.stripeWebhookSecret), log)
	}
	return host.NewCashier(s, nil, log)
}
