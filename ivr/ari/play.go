package ari

import (
	"context"
	"net/http"
	"time"

	"parley/ivr"
)

// playback is one list of prompts on one channel.
type playback struct {
	id      string
	prompts []ivr.Prompt
	length  time.Duration
	done    chan struct{} // closed when Asterisk says that it has ended

	failed bool // guarded by the switch's mu until done
}

// finish ends a playback. s.mu is held.
func (s *Switch) finish(p *playback, failed bool) {
	delete(s.playbacks, p.id)
	p.failed = failed
	close(p.done)
}

// patience is how long a playback may take. Its last event may never come.
func (p *playback) patience() time.Duration {
	const slack = 2 * time.Second
	return p.length + p.length/4 + slack
}

func (l *leg) Play(ctx context.Context, language string, prompts ...ivr.Prompt) error {
	l.quiet(ctx)
	p, err := l.start(ctx, language, prompts)
	if p == nil {
		return err
	}
	return l.wait(ctx, p)
}

// start lets the leg hear prompts. Where none of them can be heard, it returns
// neither playback nor error.
func (l *leg) start(ctx context.Context, language string, prompts []ivr.Prompt) (*playback, error) {
	if err := l.over(ctx); err != nil {
		return nil, err
	}
	p := &playback{id: newName("prompt-"), done: make(chan struct{})}
	var media []string
	for _, prompt := range prompts {
		uri, length, err := l.s.cfg.Prompts.Media(language, prompt)
		if err != nil {
			l.log().Error("prompt is missing", "prompt", prompt, "language", language, "err", err)
			continue
		}
		media = append(media, uri)
		p.prompts = append(p.prompts, prompt)
		p.length += length
	}
	if len(media) == 0 {
		return nil, nil
	}
	if err := l.leaveTalk(ctx); err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	l.s.playbacks[p.id] = p
	l.s.mu.Unlock()
	// One command for all prompts. In the address, Asterisk would take the last
	// "media" only.
	err := l.s.client.do(context.WithoutCancel(ctx), command{
		method: "POST", path: path("channels", l.id, "play", p.id),
		body:    map[string][]string{"media": media},
		confirm: path("playbacks", p.id),
	}, nil)
	if err != nil {
		l.stop(p)
		if err = l.failed(err); refused(err, 400) {
			l.log().Error("prompt is not understood", "prompts", p.prompts, "err", err)
			err = nil
		}
		return nil, err
	}
	return p, nil
}

// wait returns when the playback has been heard, and stops it when ctx ends.
func (l *leg) wait(ctx context.Context, p *playback) error {
	late := time.NewTimer(p.patience())
	defer late.Stop()
	select {
	case <-p.done:
		return l.heard(p)
	case <-late.C:
		l.log().Warn("prompt did not report its end", "prompts", p.prompts)
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	l.stop(p)
	return l.over(ctx)
}

// heard tells a prompt that failed from one that the party did not wait for:
// Asterisk calls both failed, and reports the prompt before the departure.
func (l *leg) heard(p *playback) error {
	if !p.failed {
		return nil
	}
	select {
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	case <-time.After(l.s.t.settle / 4):
		l.log().Error("prompt was not played", "prompts", p.prompts)
		return nil
	}
}

// stop ends a playback early. What is played next waits for it in Asterisk.
func (l *leg) stop(p *playback) {
	l.s.mu.Lock()
	running := l.s.playbacks[p.id] == p
	if running {
		l.s.finish(p, false)
	}
	l.s.mu.Unlock()
	if !running || l.ctx.Err() != nil {
		return // a channel's playbacks end with it
	}
	l.s.background(func() { l.stopPlayback(p) })
}

// stopFor is how long Asterisk is asked to stop a playback.
const stopFor = 2 * time.Second

// stopPlayback has Asterisk stop a playback. Between two of its files, and before the first, it
// refuses (500); and until the last has been heard, every further command would wait.
func (l *leg) stopPlayback(p *playback) {
	ctx, cancel := context.WithTimeout(l.s.ctx, stopFor)
	defer cancel()
	for pause := pauseFirst; ; pause *= 2 {
		err := l.s.client.do(ctx, command{method: "DELETE", path: path("playbacks", p.id)}, nil)
		if err == nil {
			return
		}
		if !refused(err, http.StatusInternalServerError) || ctx.Err() != nil {
			l.log().Warn("prompt not stopped", "err", err)
			return
		}
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
			return
		}
	}
}
