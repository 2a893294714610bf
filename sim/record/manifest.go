package record

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kvgauge/sim/kernel"
)

// Manifest is run.json: what a run was asked for, and on which machine it ran.
type Manifest struct {
	Schema    int               `json:"schema"`
	Args      []string          `json:"args"`
	Settings  map[string]string `json:"settings"` // flags that records depend on, with defaults; traces apart
	Seed      uint64            `json:"seed"`
	Version   string            `json:"version"`
	Machine   Machine           `json:"machine"`
	Kernel    string            `json:"kernel"`
	Threads   int               `json:"threads"`
	Limits    *kernel.Roofline  `json:"limits"`   // measured before the first cell; null where nothing is timed
	Flushing  *kernel.Flushing  `json:"flushing"` // how samples were made to read from memory; null where nothing is timed
	Traces    []ManifestTrace   `json:"traces"`
	Calibrate []ManifestTrace   `json:"calibrate"`          // what maps are fitted on, one for each trace; empty where none is
	External  []ManifestTrace   `json:"external,omitempty"` // results that were made elsewhere
	Cells     int               `json:"cells"`
	Shard     *ManifestShard    `json:"shard"` // null: the run has every cell of its plan
	Started   time.Time         `json:"started"`
	Finished  *time.Time        `json:"finished"` // null while the run goes on, and after one that was cut short
}

// Machine is where a run was measured.
type Machine struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory uint64 `json:"memory_bytes"`
	LLC    int64  `json:"llc_bytes"` // last-level cache
	Go     string `json:"go"`
}

// ManifestTrace identifies a trace, or an external result.
type ManifestTrace struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Source string `json:"source"`
}

// ManifestShard says which cells of a plan a run has.
type ManifestShard struct {
	Index     int   `json:"index"`
	Count     int   `json:"count"`
	Plan      int   `json:"plan"`      // cells of the whole plan
	Positions []int `json:"positions"` // [cell] its place in the plan, ascending
}

// ReadManifest reads run.json of a folder.
func ReadManifest(dir string) (m Manifest, err error) {
	defer func() { err = Input(err) }()
	path := filepath.Join(dir, ManifestFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return m, fmt.Errorf("%s: want the %s of a run: %w", dir, ManifestFile, errors.Unwrap(err))
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%s: not a manifest of a run: %w", path, JSONError(err))
	}
	if m.Schema != Schema {
		return m, fmt.Errorf("%s: schema: %d, want %d", path, m.Schema, Schema)
	}
	return m, nil
}

// differs says in which respect the records of two runs do not belong together, or nothing: another
// version, other traces, other flags. Shards of one plan do not differ.
func (m Manifest) differs(o Manifest) string {
	if m.Version != o.Version {
		return fmt.Sprintf("version %s, not %s", m.Version, o.Version)
	}
	if why := m.otherTraces(o); why != "" {
		return why
	}
	return m.otherSettings(o)
}

// asks says in which respect a run was asked for something else than another, of which no more may be known than the flags.
func (m Manifest) asks(o Manifest) string {
	if why := m.otherSettings(o); why != "" || o.Traces == nil {
		return why
	}
	if why := m.otherTraces(o); why != "" {
		return why
	}
	if m.Shard.name() != o.Shard.name() {
		return fmt.Sprintf(Opt+"shard %s, not %s", m.Shard.name(), o.Shard.name())
	}
	return ""
}

// otherTraces says which trace, text to fit on or external result is not that of another run.
func (m Manifest) otherTraces(o Manifest) string {
	for _, t := range []struct {
		what      string
		have, too []ManifestTrace
	}{{"trace", m.Traces, o.Traces}, {"calibration trace", m.Calibrate, o.Calibrate}, {"external result", m.External, o.External}} {
		if len(t.have) != len(t.too) {
			return fmt.Sprintf("%s, not %d", Count(len(t.have), t.what, ""), len(t.too))
		}
		for i, have := range t.have {
			if have.SHA256 != t.too[i].SHA256 {
				return fmt.Sprintf("%s %s with sha256 %s, not %s with %s", t.what, have.Name, short(have.SHA256), t.too[i].Name, short(t.too[i].SHA256))
			}
		}
	}
	return ""
}

// otherSettings says which flag has another value than in another run.
func (m Manifest) otherSettings(o Manifest) string {
	names := slices.Collect(maps.Keys(m.Settings))
	names = slices.AppendSeq(names, maps.Keys(o.Settings))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if have, too := m.Settings[name], o.Settings[name]; have != too {
			return fmt.Sprintf(Opt+"%s %s, not %s", name, settingText(have), settingText(too))
		}
	}
	return ""
}

// settingText is the value of a flag as it may be typed.
func settingText(value string) string {
	if list, is := strings.CutPrefix(value, "["); is && strings.HasSuffix(list, "]") { // pflag's form of what was given more than once
		if items, err := csv.NewReader(strings.NewReader(strings.TrimSuffix(list, "]"))).Read(); err == nil {
			value = strings.Join(items, ",")
		}
	}
	if value == "" || value == "[]" {
		return "none"
	}
	return strconv.Quote(value)
}

// short is the start of a hash, for messages.
func short(hash string) string { return hash[:min(12, len(hash))] }

// resumes says why a run may not go on with the records of the run that m describes, or nothing. Kernel
// and threads must agree too: a folder's latencies are of one kind.
func (m Manifest) resumes(o Manifest) string {
	if why := m.differs(o); why != "" {
		return why
	}
	switch {
	case m.Kernel != o.Kernel:
		return fmt.Sprintf("kernel %s, not %s", m.Kernel, o.Kernel)
	case m.Threads != o.Threads:
		return fmt.Sprintf(Opt+"threads %d, not %d", m.Threads, o.Threads)
	case m.Cells != o.Cells:
		return fmt.Sprintf("%s, not %d", Count(m.Cells, "cell", ""), o.Cells)
	case m.Shard.name() != o.Shard.name():
		return fmt.Sprintf(Opt+"shard %s, not %s", m.Shard.name(), o.Shard.name())
	}
	return ""
}

// name is how --shard is written.
func (s *ManifestShard) name() string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}
