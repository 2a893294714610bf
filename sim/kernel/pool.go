package kernel

import (
	"runtime"
	"sync/atomic"
)

// Pool runs the parts of one step on a fixed number of goroutines that live as long as the pool. A nil
// Pool runs everything on the caller.
type Pool struct {
	f       func(worker, i int)
	n       int
	next    atomic.Int64
	round   atomic.Uint32 // counts the calls of Run
	pending atomic.Int32  // workers that have not finished the round
	closed  atomic.Bool

	workers []*sleeper // but for the caller of Run
	caller  *sleeper
}

// NewPool starts threads-1 goroutines; the caller of Run is the last one.
func NewPool(threads int) *Pool {
	p := &Pool{caller: newSleeper()}
	for w := 1; w < threads; w++ {
		s := newSleeper()
		p.workers = append(p.workers, s)
		go p.serve(w, s)
	}
	return p
}

// serve is the life of a worker.
func (p *Pool) serve(worker int, s *sleeper) {
	for seen := uint32(0); ; seen++ {
		s.await(func() bool { return p.round.Load() != seen })
		if p.closed.Load() {
			return
		}
		p.work(worker)
		if p.pending.Add(-1) == 0 {
			p.caller.wake()
		}
	}
}

// Threads is how many parts run at a time.
func (p *Pool) Threads() int {
	if p == nil {
		return 1
	}
	return len(p.workers) + 1
}

// Run calls f(worker, i) for every i below n and returns when all are done. Workers are numbered from
// 0 to Threads-1 and no two calls share one at a time. Calls of Run must not overlap.
func (p *Pool) Run(n int, f func(worker, i int)) {
	if p == nil || len(p.workers) == 0 || n == 1 {
		for i := range n {
			f(0, i)
		}
		return
	}
	p.f, p.n = f, n
	p.next.Store(0)
	p.pending.Store(int32(len(p.workers)))
	p.round.Add(1)
	for _, s := range p.workers {
		s.wake()
	}
	p.work(0)
	p.caller.await(func() bool { return p.pending.Load() == 0 })
	p.f = nil
}

// work takes parts until none is left.
func (p *Pool) work(worker int) {
	for {
		i := int(p.next.Add(1)) - 1
		if i >= p.n {
			return
		}
		p.f(worker, i)
	}
}

// Close ends the pool's goroutines. A closed pool runs everything on the caller.
func (p *Pool) Close() {
	p.closed.Store(true)
	p.round.Add(1)
	for _, s := range p.workers {
		s.wake()
	}
	p.workers = nil
}

// spins is how often a sleeper looks before it sleeps, some 20 us: the layers of a step follow each other
// within that, and to wake a thread takes about as long.
const spins = 1 << 14

// sleeper is a goroutine that waits for a condition that others make true.
type sleeper struct {
	asleep atomic.Bool
	woken  chan struct{}
}

func newSleeper() *sleeper { return &sleeper{woken: make(chan struct{}, 1)} }

// await returns once ready holds. Whoever makes it hold calls wake afterwards.
func (s *sleeper) await(ready func() bool) {
	for i := range spins {
		if ready() {
			return
		}
		if i%(1<<8) == 0 {
			runtime.Gosched()
		}
	}
	for !ready() {
		s.asleep.Store(true)
		// What became ready before asleep was set sent no token, unless a wake came between.
		if ready() && s.asleep.CompareAndSwap(true, false) {
			return
		}
		<-s.woken
	}
}

// wake ends a sleep.
func (s *sleeper) wake() {
	if s.asleep.CompareAndSwap(true, false) {
		s.woken <- struct{}{}
	}
}
