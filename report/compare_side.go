package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kvgauge/sim/record"
)

// Side is what a comparison has on one side: the records of a run, and those of its repetitions, which only
// add latency samples.
type Side struct {
	Records []record.Record
	Again   [][]record.Record
}

// LoadSide reads a run as Load does, or a folder of folders: repetitions of one run, in the order of their
// names. Repetitions must agree in all but latency.
func LoadSide(path string) (Side, error) {
	_, err := os.Stat(filepath.Join(path, record.RecordsFile))
	entries, notDir := os.ReadDir(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || notDir != nil {
		records, err := record.Load(path)
		return Side{Records: records}, err
	}
	var s Side
	var first string
	for _, e := range entries {
		dir := filepath.Join(path, e.Name())
		if _, err := os.Stat(filepath.Join(dir, record.RecordsFile)); err != nil {
			continue
		}
		records, err := record.Load(dir)
		if err != nil {
			return s, err
		}
		if s.Records == nil {
			s.Records, first = records, dir
			continue
		}
		c, err := Compare(s, Side{Records: records}, Limits{})
		if err != nil {
			return s, fmt.Errorf("%s: %w", dir, err)
		}
		if len(c.Changes) > 0 {
			ch := c.Changes[0]
			return s, record.Input(fmt.Errorf("%s: no repetition of %s: %s on %s at %d tokens: %s: %s", dir, first, ch.Pipeline, ch.Trace, ch.SeqLen, ch.subject(), ch.Text))
		}
		s.Again = append(s.Again, records)
	}
	if s.Records == nil {
		return s, record.Input(fmt.Errorf("%s: no %s in it or in its folders, want a run or repetitions of one", path, record.RecordsFile))
	}
	return s, nil
}

// ratios are the samples of each cell's ratio to full. Repetitions give one each, which are independent:
// they lie apart in time. A single run gives those of its steps to the full cache's beside them; of earlier versions,
// whose records lack these, the steps, scaled so that their median is ratio_to_full.
func (s Side) ratios() map[record.Key][]float64 {
	of := map[record.Key][]float64{}
	for _, r := range s.Records {
		l := r.Latency
		switch {
		case l == nil:
		case s.Again != nil:
			of[r.Key()] = append(of[r.Key()], l.RatioToFull)
		case len(l.FullStepNS) > 0:
			for i, ns := range l.StepNS {
				of[r.Key()] = append(of[r.Key()], float64(ns)/float64(max(1, l.FullStepNS[i])))
			}
		case l.MedianNS > 0:
			for _, ns := range l.StepNS {
				of[r.Key()] = append(of[r.Key()], float64(ns)/float64(l.MedianNS)*l.RatioToFull)
			}
		}
	}
	for _, records := range s.Again {
		for _, r := range records {
			if r.Latency != nil {
				of[r.Key()] = append(of[r.Key()], r.Latency.RatioToFull)
			}
		}
	}
	return of
}
