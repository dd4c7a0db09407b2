package store

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// Topics on which the store itself notifies.
const (
	TopicChallenges = "challenges" // one was requested: claim it
	TopicPlan       = "plan"       // another plan is active
)

// TopicChallenge is where a challenge's progress is told.
func TopicChallenge(id string) string { return "challenge/" + id }

const noticePrefix = "parley:"

func newRedis(c Config) *redis.Client {
	if len(c.Sentinels) > 0 {
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: c.RedisMaster, SentinelAddrs: c.Sentinels, Username: c.RedisUser, Password: c.RedisPassword, ClientName: "parley",
			DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second, MaxRetries: -1,
		})
	}
	return redis.NewClient(&redis.Options{
		Addr: c.RedisAddr, Username: c.RedisUser, Password: c.RedisPassword, ClientName: "parley",
		DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second, MaxRetries: -1,
	})
}

// Notify tells whoever listens to look now. A notice may be lost, so listeners
// also look from time to time; the sender does not wait for one either.
func (s *Store) Notify(ctx context.Context, topic string) {
	if s.redis == nil {
		return
	}
	const patience = 250 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	s.notices.Go(func() {
		defer cancel()
		if err := s.redis.Publish(ctx, noticePrefix+topic, "").Err(); err != nil {
			slog.Warn("a notice was not sent; listeners will see it when they next look", "topic", topic, "err", err)
		}
	})
}

// Listen returns the topics of notices as they come, until ctx ends. Notices that
// come faster than they are taken are dropped: each says no more than "look now".
// Callers must also look from time to time.
func (s *Store) Listen(ctx context.Context, topics ...string) <-chan string {
	out := make(chan string, 16)
	if s.redis == nil {
		context.AfterFunc(ctx, func() { close(out) })
		return out
	}
	channels := make([]string, len(topics))
	for i, t := range topics {
		channels[i] = noticePrefix + t
	}
	sub := s.redis.Subscribe(ctx, channels...)
	in := sub.Channel(redis.WithChannelHealthCheckInterval(3 * time.Second))
	go func() {
		defer close(out)
		defer sub.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case m, open := <-in: // reconnects by itself; closed with the store
				if !open {
					return
				}
				select {
				case out <- m.Channel[len(noticePrefix):]:
				default:
				}
			}
		}
	}()
	return out
}
