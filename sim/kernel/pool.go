package kernel

import (
	"sync"
	"sync/atomic"
)

// Pool runs the parts of one step on a fixed number of goroutines that live as long as the pool. A nil
// Pool runs everything on the caller.
type Pool struct {
	jobs    []chan func(worker, i int)
	n       int
	next    atomic.Int64
	pending sync.WaitGroup
}

// NewPool starts threads-1 goroutines; the caller of Run is the last one.
func NewPool(threads int) *Pool {
	p := &Pool{}
	for w := 1; w < threads; w++ {
		c := make(chan func(worker, i int))
		p.jobs = append(p.jobs, c)
		go func() {
			for f := range c {
				p.work(w, f)
				p.pending.Done()
			}
		}()
	}
	return p
}

// Threads is how many parts run at a time.
func (p *Pool) Threads() int {
	if p == nil {
		return 1
	}
	return len(p.jobs) + 1
}

// Run calls f(worker, i) for every i below n and returns when all are done. Workers are numbered from
// 0 to Threads-1 and no two calls share one at a time. Calls of Run must not overlap.
func (p *Pool) Run(n int, f func(worker, i int)) {
	if p == nil || len(p.jobs) == 0 || n == 1 {
		for i := range n {
			f(0, i)
		}
		return
	}
	p.n = n
	p.next.Store(0)
	p.pending.Add(len(p.jobs))
	for _, c := range p.jobs {
		c <- f
	}
	p.work(0, f)
	p.pending.Wait()
}

// work takes parts until none is left.
func (p *Pool) work(worker int, f func(worker, i int)) {
	for {
		i := int(p.next.Add(1)) - 1
		if i >= p.n {
			return
		}
		f(worker, i)
	}
}

// Close ends the pool's goroutines.
func (p *Pool) Close() {
	for _, c := range p.jobs {
		close(c)
	}
	p.jobs = nil
}
