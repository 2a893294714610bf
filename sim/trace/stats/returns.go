package stats

import (
	"context"
	"math"
	"math/bits"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// Returns says after how long a silence keys matter again. A key is important to a query when the
// query's probability of it is 1/t or more, t being the number of keys that the query reads: its position
// counted from 1 (CORM, arXiv:2404.15949), or what its layer's window or chunk leaves of that. A return is
// the importance of a key other than the query's own; its silence is the number of steps since the key was
// last important to the same query head, where a key's birth counts as the first time. Counts are over all
// query heads and all queries held.
type Returns struct {
	Queries       int     `json:"queries"`        // of all query heads
	ImportantKeys float64 `json:"important_keys"` // of a query, its own included, mean
	ImportantMass float64 `json:"important_mass"` // their probability, mean over queries
	Events        int     `json:"events"`         // returns
	Unknown       int     `json:"unknown_events"` // further returns, whose silence began before the first query held

	Octaves []Octave `json:"octaves"` // of silence: 1, 2 to 3, 4 to 7, ... up to the longest seen

	EventsOver64  *float64 `json:"events_over_64"` // share of returns after a silence longer than 64; nil without returns
	EventsOver256 *float64 `json:"events_over_256"`
	MassOver64    float64  `json:"mass_over_64"` // share of all attention that such returns are, mean over queries
	MassOver256   float64  `json:"mass_over_256"`
}

// Octave are the returns after a silence of From to To steps.
type Octave struct {
	From   int     `json:"from"`
	To     int     `json:"to"`
	Events int     `json:"events"`
	Share  float64 `json:"share"` // of all returns
	Mass   float64 `json:"mass"`  // share of all attention, mean over queries
}

// tally counts returns of one kind and adds up their probabilities.
type tally struct {
	events int
	mass   float64
}

func (t *tally) add(p float64) { t.events++; t.mass += p }

func (t *tally) join(o tally) { t.events += o.events; t.mass += o.mass }

// returnCounts are sums over queries.
type returnCounts struct {
	queries, unknown int
	important        tally
	octaves          []tally
	over64, over256  tally
}

// measureReturns counts the returns of one layer's keys.
func measureReturns(ctx context.Context, t *trace.Attention, l *trace.Layer, tokens int, pool *kernel.Pool) returnCounts {
	heads := make([]returnCounts, t.QHeads)
	pool.Run(len(heads), func(_, h int) { heads[h].addHead(ctx, t, l, h, tokens) })
	var all returnCounts
	for _, h := range heads { // in this order, whatever thread was first
		all.join(h)
	}
	return all
}

// addHead counts one query head, batch by batch, so that no more than queryBatch rows of its attention
// are held.
func (c *returnCounts) addHead(ctx context.Context, t *trace.Attention, l *trace.Layer, h, tokens int) {
	d, k := t.KeyDim(), l.K[h/(t.QHeads/t.KVHeads)]
	last := make([]int, tokens) // step at which each key was last important; -1 is before the first query held
	for i := range min(l.FirstQuery, tokens) {
		last[i] = -1
	}
	for lo := l.FirstQuery; lo < tokens && ctx.Err() == nil; lo += queryBatch {
		hi := min(lo+queryBatch, tokens)
		sees := kernel.Sights(lo, hi-lo)
		rule := t.Rule(h)
		logits, lse := kernel.LogitsExact(l.Reading(t, h, lo, hi-lo), d, rule, k[:hi*d], nil, sees)
		for s, sees := range sees {
			c.addQuery(logits[s*hi:s*hi+sees.Rows], rule.First(sees.Token), lse[s], last)
		}
	}
}

// addQuery counts the important keys of the query of the last key, which reads those from first on.
func (c *returnCounts) addQuery(logits []float64, first int, lse float64, last []int) {
	const rounding = 1e-12 // uniform attention makes every key important
	now := len(logits) - 1
	least := lse - math.Log(float64(len(logits)-first)) - rounding
	c.queries++
	last[now] = now
	for i := first; i <= now; i++ {
		x := logits[i]
		if x < least {
			continue
		}
		p := math.Exp(x - lse)
		c.important.add(p)
		if i == now {
			continue
		}
		c.addReturn(now, last[i], p)
		last[i] = now
	}
}

// addReturn counts a key of probability p that was important at the step before and is so now.
func (c *returnCounts) addReturn(now, before int, p float64) {
	if before < 0 {
		c.unknown++
		return
	}
	silence := now - before
	octave := bits.Len(uint(silence)) - 1
	for len(c.octaves) <= octave {
		c.octaves = append(c.octaves, tally{})
	}
	c.octaves[octave].add(p)
	if silence > 64 {
		c.over64.add(p)
	}
	if silence > 256 {
		c.over256.add(p)
	}
}

// join takes in the sums of other queries.
func (c *returnCounts) join(o returnCounts) {
	c.queries += o.queries
	c.unknown += o.unknown
	c.important.join(o.important)
	for len(c.octaves) < len(o.octaves) {
		c.octaves = append(c.octaves, tally{})
	}
	for i, t := range o.octaves {
		c.octaves[i].join(t)
	}
	c.over64.join(o.over64)
	c.over256.join(o.over256)
}

// figures are the sums as shares and means; nil where there was no query.
func (c *returnCounts) figures() *Returns {
	if c.queries == 0 {
		return nil
	}
	n := float64(c.queries)
	r := &Returns{
		Queries: c.queries, Unknown: c.unknown,
		ImportantKeys: float64(c.important.events) / n, ImportantMass: c.important.mass / n,
		MassOver64: c.over64.mass / n, MassOver256: c.over256.mass / n,
		Octaves: []Octave{},
	}
	for _, o := range c.octaves {
		r.Events += o.events
	}
	for i, o := range c.octaves {
		r.Octaves = append(r.Octaves, Octave{
			From: 1 << i, To: 2<<i - 1, Events: o.events,
			Share: float64(o.events) / float64(r.Events), Mass: o.mass / n,
		})
	}
	if r.Events > 0 {
		over64, over256 := float64(c.over64.events)/float64(r.Events), float64(c.over256.events)/float64(r.Events)
		r.EventsOver64, r.EventsOver256 = &over64, &over256
	}
	return r
}
