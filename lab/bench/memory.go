package bench

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// Memory is what live calls take.
type Memory struct {
	Live              int
	Program, Asterisk int64 // bytes per live call, beyond those at rest
	WhyNotMore        string
	FilesEach         int // descriptors that Asterisk uses for a call
}

// callFiles is how many descriptors Asterisk takes for two bridged legs.
const callFiles = 10

// MeasureMemory brings as many calls up as descriptors allow, and looks at both when they
// talk.
func (b *Bench) MeasureMemory(ctx context.Context, want int) (m Memory, err error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return m, err
	}
	const spare = 200
	m.Live, m.FilesEach = min(want, b.Pairs), callFiles
	if fit := int(limit.Max-spare) / callFiles; fit < m.Live {
		m.Live, m.WhyNotMore = fit, fmt.Sprintf("this machine allows a process %d descriptors", limit.Max)
	}
	program, asterisk, err := b.resident()
	if err != nil {
		return m, err
	}
	const rate = 40.0
	rising := time.Duration(float64(m.Live) / rate * float64(time.Second))
	talking := make(chan error, 1)
	go func() {
		s, err := b.run(ctx, load{design: paid, rate: rate, calls: m.Live, talk: rising + 20*time.Second})
		if err == nil && s.failed > 0 {
			err = fmt.Errorf("%d of %d live calls failed", s.failed, s.calls)
		}
		talking <- err
	}()
	time.Sleep(rising + 10*time.Second)
	fullProgram, fullAsterisk, err := b.resident()
	if err != nil {
		return m, err
	}
	m.Program, m.Asterisk = (fullProgram-program)/int64(m.Live), (fullAsterisk-asterisk)/int64(m.Live)
	return m, <-talking
}

func (b *Bench) resident() (program, asterisk int64, err error) {
	if program, err = resident(b.stage.Program.PID()); err != nil {
		return 0, 0, err
	}
	asterisk, err = resident(b.stage.Lab.Asterisk.PID())
	return program, asterisk, err
}
