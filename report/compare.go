package report

import (
	"fmt"
	"slices"

	"kvgauge/sim/record"
)

// Limits say how much worse the records of a new run may be than those of an old one.
type Limits struct {
	Bytes        float64  `json:"max_bytes"`   // relative growth of a number of bytes
	Error        float64  `json:"max_error"`   // relative growth of an error
	Latency      *float64 `json:"max_latency"` // relative growth of ratio_to_full; nil: not compared
	AllowMissing bool     `json:"allow_missing"`
}

// Verdict says what a change means.
type Verdict string

const (
	Regression  Verdict = "regression"
	Improvement Verdict = "improvement"
	Allowed     Verdict = "allowed" // worse, or cells that have no partner, within the limits
)

// Change is one respect in which a cell of the new run differs from that of the old one.
type Change struct {
	Verdict  Verdict  `json:"verdict"`
	Kind     string   `json:"kind"`   // bytes, error, kept, latency, missing, new, skipped, failed or recovered
	Figure   string   `json:"figure"` // the record's field, or empty
	Trace    string   `json:"trace"`
	SHA256   string   `json:"trace_sha256"`
	Model    string   `json:"model"`
	SeqLen   int      `json:"seq_len"`
	Pipeline string   `json:"pipeline"`
	Old      *float64 `json:"old"` // null where it is no number, or was not measured
	New      *float64 `json:"new"`
	Growth   *float64 `json:"growth"` // relative, of what should be small; null where there is none
	P        *float64 `json:"p"`      // of a latency: chance of such a difference between equals
	Text     string   `json:"text"`

	cell record.Key
}

// Comparison is what two runs have in common and where they differ.
type Comparison struct {
	Schema      int      `json:"schema"`
	Limits      Limits   `json:"limits"`
	Cells       int      `json:"cells"`    // of either run
	Matched     int      `json:"matched"`  // cells that both runs have
	Measured    int      `json:"measured"` // of those, the ones that both runs measured
	Timed       int      `json:"timed"`    // of those, the ones whose latency was compared
	Regressions int      `json:"regressions"`
	Changes     []Change `json:"changes"`

	pairs  []pair
	traces map[record.Key]string // the names of apart
}

// pair is a cell of both runs or, where the other is nil, of one.
type pair struct{ old, new *record.Record }

// either is the record that there is.
func (p pair) either() record.Record {
	if p.new != nil {
		return *p.new
	}
	return *p.old
}

// Compare compares the records of two runs, cell by cell. Cells are the same only where trace, model,
// layers, lengths, seed and pipeline are. Runs that measured no cell both are no comparison: without a regression that
// would be an error, not a pass.
func Compare(before, after Side, l Limits) (*Comparison, error) {
	pairs, err := pairUp(before.Records, after.Records)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(pairs, func(p pair) bool { return p.old != nil && p.new != nil }) {
		return nil, record.Input(noneInCommon(before.Records, after.Records))
	}
	c := &Comparison{Schema: record.Schema, Limits: l, Cells: len(pairs), Changes: []Change{}, pairs: pairs, traces: map[record.Key]string{}}
	both := slices.Concat(before.Records, after.Records)
	for i, r := range apart(both) {
		c.traces[both[i].Key()] = r.Trace
	}
	clock := newClock(before, after, l.Latency)
	for _, p := range pairs {
		c.Changes = append(c.Changes, c.compare(p, clock)...)
	}
	if l.Latency != nil && c.Timed == 0 {
		return nil, record.Input(fmt.Errorf("latency: no cell has samples in both runs, want at least %d steps of a run, or as many repetitions", minSamples))
	}
	for _, ch := range c.Changes {
		if ch.Verdict == Regression {
			c.Regressions++
		}
	}
	if c.Measured == 0 && (c.Regressions == 0 || !slices.ContainsFunc(pairs, pair.worsened)) {
		return nil, record.Input(noneMeasured(pairs))
	}
	return c, nil
}

// worsened says whether only the old run measured a cell that both have.
func (p pair) worsened() bool {
	return p.old != nil && p.new != nil && p.old.Status == record.OK && p.new.Status != record.OK
}

// noneMeasured says why no cell in common was compared, by the first of them.
func noneMeasured(pairs []pair) error {
	p := pairs[slices.IndexFunc(pairs, func(p pair) bool { return p.old != nil && p.new != nil })]
	which, r := "old", *p.old
	if r.Status == record.OK {
		which, r = "new", *p.new
	}
	return fmt.Errorf("no cell was measured in both runs: %s was %s in the %s one: %s", oneLine(r.Cell()), r.Status, which, oneLine(r.Reason))
}

// noneInCommon says why two runs cannot be compared, with the likeliest cause.
func noneInCommon(before, after []record.Record) error {
	old, now := before[0], after[0]
	why := ""
	if old.Trace == now.Trace && old.TraceSHA256 != now.TraceSHA256 {
		why = ": their traces of that name differ (sha256)"
	}
	return fmt.Errorf("no cell in common: the first of the old run is %s, of the new one %s%s", oneLine(old.Cell()), oneLine(now.Cell()), why)
}

// pairUp pairs the records, those of the old run first and in its order.
func pairUp(before, after []record.Record) ([]pair, error) {
	var pairs []pair
	at := map[record.Key]int{}
	for i, r := range before {
		if _, twice := at[r.Key()]; twice {
			return nil, record.Input(fmt.Errorf("old run: two records of one cell: %s", r.Cell()))
		}
		at[r.Key()] = i
		pairs = append(pairs, pair{old: &before[i]})
	}
	for i, r := range after {
		j, ok := at[r.Key()]
		switch {
		case !ok:
			at[r.Key()] = len(pairs)
			pairs = append(pairs, pair{new: &after[i]})
		case pairs[j].new != nil:
			return nil, record.Input(fmt.Errorf("new run: two records of one cell: %s", r.Cell()))
		default:
			pairs[j].new = &after[i]
		}
	}
	return pairs, nil
}

// compare lists the changes of one cell.
func (c *Comparison) compare(p pair, k *clock) []Change {
	if p.old == nil || p.new == nil {
		return []Change{c.alone(p)}
	}
	c.Matched++
	if ch, ok := c.status(p); ok {
		return []Change{ch}
	}
	if p.new.Status != record.OK {
		return nil
	}
	c.Measured++
	all := slices.Concat(c.figures(p), c.kept(p))
	ch, timed := k.compare(p)
	if timed {
		c.Timed++
	}
	if ch != nil {
		all = append(all, *ch)
	}
	return all
}

// alone is the change of a cell that one run lacks.
func (c *Comparison) alone(p pair) Change {
	kind, text := "new", "the old run has no such cell"
	other := func(q pair) *record.Record { return q.old }
	if p.new == nil {
		kind, text = "missing", "the new run has no such cell"
		other = func(q pair) *record.Record { return q.new }
	}
	// The likeliest cause deserves a name: the same trace by name, with other content.
	for _, q := range c.pairs {
		if o := other(q); o != nil && o.Trace == p.either().Trace && o.TraceSHA256 != p.either().TraceSHA256 {
			text += ": its trace of that name is another (sha256)"
			break
		}
	}
	return change(p, kind, c.partnerless(), text)
}

// status is the change of a cell that was measured in one of the runs only.
func (c *Comparison) status(p pair) (Change, bool) {
	old, now := p.old.Status, p.new.Status
	switch {
	case old == now:
		return Change{}, false
	case now == record.OK:
		return change(p, "recovered", Improvement, fmt.Sprintf("was %s: %s", old, p.old.Reason)), true
	}
	return change(p, string(now), c.partnerless(), fmt.Sprintf("was %s: %s", old, p.new.Reason)), true
}

// partnerless is the verdict on cells that cannot be compared.
func (c *Comparison) partnerless() Verdict {
	if c.Limits.AllowMissing {
		return Allowed
	}
	return Regression
}

// change is a change of a cell; text may come from a file.
func change(p pair, kind string, v Verdict, text string) Change {
	r := p.either()
	return Change{
		Verdict: v, Kind: kind, Trace: r.Trace, SHA256: r.TraceSHA256, Model: r.Model, SeqLen: r.SeqLen, Pipeline: r.Pipeline, Text: oneLine(text), cell: r.Key(),
	}
}
