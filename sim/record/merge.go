package record

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Part is the finished run of one shard.
type Part struct {
	Path     string
	Manifest Manifest
	Records  []Record
}

// Merge joins the shards of one plan: every cell once, in plan order. It refuses parts that are
// unfinished, that differ in traces, flags or version, and plans with gaps or cells that two parts have.
// Notes say what else differs: kernels and threads, which latencies depend on.
func Merge(parts []Part) (m Manifest, records []Record, notes []string, err error) {
	defer func() { err = Input(err) }()
	if len(parts) == 0 {
		return m, nil, nil, errors.New("no folder to merge")
	}
	m = parts[0].Manifest
	whole := parts[0].shard()
	at, from := map[int]Record{}, map[int]string{} // by position in the plan
	for _, p := range parts {
		if err := p.fits(parts[0]); err != nil {
			return m, nil, nil, err
		}
		for i, pos := range p.shard().Positions {
			if from[pos] != "" {
				return m, nil, nil, fmt.Errorf("%s: cell %d (%s) is in %s too", p.Path, pos+1, p.Records[i].Cell(), from[pos])
			}
			at[pos], from[pos] = p.Records[i], p.Path
		}
		if m.Started.After(p.Manifest.Started) {
			m.Started = p.Manifest.Started
		}
		if k := p.Manifest; k.Kernel != m.Kernel || k.Threads != m.Threads {
			notes = append(notes, fmt.Sprintf("%s ran with kernel %s and %s, %s with %s and %d: compare latencies with care",
				p.Path, k.Kernel, Count(k.Threads, "thread", ""), parts[0].Path, m.Kernel, m.Threads))
		}
	}
	if len(at) < whole.Plan {
		return m, nil, nil, fmt.Errorf("%d of %s missing: %s", whole.Plan-len(at), Count(whole.Plan, "cell is", "cells are"), missingShards(parts, whole.Count))
	}
	for pos := range whole.Plan {
		records = append(records, at[pos])
	}
	if err := unique(records); err != nil {
		return m, nil, nil, err
	}
	m.Args = withoutShard(m.Args)
	m.Shard, m.Cells, m.Finished = nil, whole.Plan, nil
	return m, records, notes, nil
}

// shard is the manifest's own, or the whole plan as one.
func (p Part) shard() ManifestShard {
	if p.Manifest.Shard != nil {
		return *p.Manifest.Shard
	}
	s := ManifestShard{Count: 1, Plan: p.Manifest.Cells}
	for i := range p.Records {
		s.Positions = append(s.Positions, i)
	}
	return s
}

// fits says why a part does not belong to the plan of the first one, or is not whole in itself.
func (p Part) fits(first Part) error {
	m := p.Manifest
	if m.Finished == nil {
		return fmt.Errorf("%s: the run is not finished: go on with it by "+Opt+"resume", p.Path)
	}
	if why := m.differs(first.Manifest); why != "" {
		return fmt.Errorf("%s: has %s as %s has", p.Path, why, first.Path)
	}
	s, want := p.shard(), first.shard()
	switch {
	case s.Count != want.Count:
		return fmt.Errorf("%s: one of %s, not of %d as %s is", p.Path, Count(s.Count, "shard", ""), want.Count, first.Path)
	case s.Plan != want.Plan:
		return fmt.Errorf("%s: of a plan of %s, not of %d as in %s", p.Path, Count(s.Plan, "cell", ""), want.Plan, first.Path)
	case len(s.Positions) != m.Cells && m.Shard != nil:
		return fmt.Errorf("%s: %s: %d of shard.positions, want %d", p.Path, ManifestFile, len(s.Positions), m.Cells)
	case len(p.Records) != m.Cells:
		return fmt.Errorf("%s: %s, want %d", p.Path, Count(len(p.Records), "record", ""), m.Cells)
	}
	for i, at := range s.Positions {
		if at < 0 || at >= s.Plan {
			return fmt.Errorf("%s: %s: shard.positions[%d]: %d, want 0 to %d", p.Path, ManifestFile, i, at, s.Plan-1)
		}
	}
	for _, r := range p.Records {
		if !slices.ContainsFunc(m.Traces, func(t ManifestTrace) bool { return t.SHA256 == r.TraceSHA256 }) {
			return fmt.Errorf("%s: %s: the record is of a trace with sha256 %s, which %s does not name", p.Path, r.Cell(), short(r.TraceSHA256), ManifestFile)
		}
		if r.Version != m.Version {
			return fmt.Errorf("%s: %s: the record is of version %s, %s of %s", p.Path, r.Cell(), r.Version, ManifestFile, m.Version)
		}
	}
	return nil
}

// withoutShard are the arguments of a shard's run but for which shard it is.
func withoutShard(args []string) (whole []string) {
	const flag = "--shard"
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == flag:
			i++
		case !strings.HasPrefix(args[i], flag+"="):
			whole = append(whole, args[i])
		}
	}
	return whole
}

// missingShards names the first shards that are not among the parts.
func missingShards(parts []Part, count int) string {
	var names []string
	for i := 0; i < count && len(names) < 8; i++ {
		if !slices.ContainsFunc(parts, func(p Part) bool { return p.shard().Index == i }) {
			names = append(names, fmt.Sprintf("%d/%d", i, count))
		}
	}
	if names == nil {
		return "no shard has them"
	}
	return "shard " + strings.Join(names, ", ")
}

// unique refuses two records of one cell.
func unique(records []Record) error {
	seen := map[Key]bool{}
	for _, r := range records {
		if seen[r.Key()] {
			return fmt.Errorf("two records of one cell: %s", r.Cell())
		}
		seen[r.Key()] = true
	}
	return nil
}
