package store

import (
	"context"
	"log/slog"
	"sync"
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

// notifier sends notices. It lives as long as the store that made it.
type notifier struct {
	redis *redis.Client

	mu       sync.Mutex
	gathered map[string]bool // by topic, while they are gathered: whether there are any
	over     bool            // nothing is sent any more
	sending  sync.WaitGroup
}

// gatherNotices is how long after a notice further ones of its topic are gathered into
// one: each says no more than "look now", and looking is what costs.
const gatherNotices = 200 * time.Millisecond

// Notify tells whoever listens to look now. A notice may be lost, so listeners
// also look from time to time; the sender does not wait for one either.
func (s *Store) Notify(_ context.Context, topic string) {
	n := s.notices
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, gathering := n.gathered[topic]; gathering {
		n.gathered[topic] = true
		return
	}
	n.publish(topic)
}

// publish sends a notice and gathers those that follow. n.mu is held.
func (n *notifier) publish(topic string) {
	if n.over {
		return
	}
	n.gathered[topic] = false
	time.AfterFunc(gatherNotices, func() { n.gatheredEnough(topic) })
	n.sending.Go(func() { n.send(topic) })
}

func (n *notifier) gatheredEnough(topic string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gathered[topic] {
		n.publish(topic)
	} else {
		delete(n.gathered, topic)
	}
}

func (n *notifier) send(topic string) {
	const patience = 250 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.redis.Publish(ctx, noticePrefix+topic, "").Err(); err != nil {
		slog.Warn("a notice was not sent; listeners will see it when they next look", "topic", topic, "err", err)
	}
}

// close sends what was gathered, and then nothing more.
func (n *notifier) close() error {
	n.mu.Lock()
	for topic, some := range n.gathered {
		if some {
			n.sending.Go(func() { n.send(topic) })
		}
	}
	n.over = true
	n.mu.Unlock()
	n.sending.Wait() // a moment at most: see send
	return n.redis.Close()
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
