package metrics

import (
	"context"
	"log/slog"
)

// Log counts the lines that next writes: a fault that has no series of its own shows at
// least there.
func (m *Metrics) Log(next slog.Handler) slog.Handler { return counting{next, m} }

type counting struct {
	slog.Handler
	m *Metrics
}

func (c counting) Handle(ctx context.Context, r slog.Record) error {
	c.m.lines.WithLabelValues(r.Level.String()).Inc()
	return c.Handler.Handle(ctx, r)
}

func (c counting) WithAttrs(attrs []slog.Attr) slog.Handler {
	return counting{c.Handler.WithAttrs(attrs), c.m}
}

func (c counting) WithGroup(name string) slog.Handler {
	return counting{c.Handler.WithGroup(name), c.m}
}
