package record

import (
	"strings"
	"testing"
	"time"
)

// shards are the two finished parts of a plan of three cells.
func shards() []Part {
	now := time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC)
	part := func(path string, index int, positions []int, pipelines ...string) Part {
		p := Part{Path: path, Manifest: Manifest{
			Schema: Schema, Version: "1", Kernel: "avx2", Threads: 2, Cells: len(positions), Traces: []ManifestTrace{{Name: "t", SHA256: "abc"}},
			Shard: &ManifestShard{Index: index, Count: 2, Plan: 3, Positions: positions}, Started: now, Finished: &now,
		}}
		for _, name := range pipelines {
			p.Records = append(p.Records, Record{Schema: Schema, Trace: "t", TraceSHA256: "abc", Pipeline: name, SeqLen: 64, Version: "1"})
		}
		return p
	}
	return []Part{part("x", 0, []int{0, 2}, "a", "c"), part("y", 1, []int{1}, "b")}
}

func TestMerge(t *testing.T) {
	parts := shards()
	parts[1].Manifest.Kernel = "avx512"
	m, records, notes, err := Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 3 || records[0].Pipeline != "a" || records[1].Pipeline != "b" || records[2].Pipeline != "c" {
		t.Errorf("%+v, want plan order", records)
	}
	if m.Shard != nil || m.Cells != 3 || m.Finished != nil {
		t.Errorf("%+v", m)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "y ran with kernel avx512") {
		t.Errorf("%q", notes)
	}
}

func TestMergeRefuses(t *testing.T) {
	for want, edit := range map[string]func([]Part) []Part{
		"no folder to merge":                          func(p []Part) []Part { return nil },
		"1 of 3 cells are missing: shard 1/2":         func(p []Part) []Part { return p[:1] },
		"y: cell 2 (b on t at 64 tokens) is in y too": func(p []Part) []Part { return append(p, p[1]) },
		"y: the run is not finished":                  func(p []Part) []Part { p[1].Manifest.Finished = nil; return p },
		"y: has version 2, not 1 as x has":            func(p []Part) []Part { p[1].Manifest.Version = "2"; return p },
		"y: one of 3 shards, not of 2 as x is":        func(p []Part) []Part { p[1].Manifest.Shard.Count = 3; return p },
		"y: of a plan of 4 cells, not of 3 as in x":   func(p []Part) []Part { p[1].Manifest.Shard.Plan = 4; return p },
		"y: 0 records, want 1":                        func(p []Part) []Part { p[1].Records = nil; return p },
		"shard.positions[0]: 3, want 0 to 2":          func(p []Part) []Part { p[1].Manifest.Shard.Positions[0] = 3; return p },
		"shard.positions[0]: -1, want 0 to 2":         func(p []Part) []Part { p[1].Manifest.Shard.Positions[0] = -1; return p },
		"which run.json does not name":                func(p []Part) []Part { p[1].Records[0].TraceSHA256 = "def"; return p },
		"the record is of version 9":                  func(p []Part) []Part { p[1].Records[0].Version = "9"; return p },
		"two records of one cell: a on t at 64":       func(p []Part) []Part { p[1].Records[0].Pipeline = "a"; return p },
		"missing: shard 1/2": func(p []Part) []Part { // a plan larger than memory is only a number
			p[0].Manifest.Shard.Plan = 1 << 60
			return p[:1]
		},
	} {
		if _, _, _, err := Merge(edit(shards())); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
