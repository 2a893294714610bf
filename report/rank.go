package report

import (
	"fmt"
	"slices"

	"kvgauge/sim/record"
)

// standing is the place of a pipeline by its error.
type standing struct {
	place int  // from 1: one more than the pipelines that are better beyond doubt
	tied  bool // another competes for the place
}

// equalBytes says whether the caches of a section were set to one size, all but full: some methods may be set to a size
// beside others that have their own.
func (s section) equalBytes() bool {
	set := func(r record.Record) bool { return r.TargetBytes != nil }
	return slices.ContainsFunc(s.records, set) &&
		!slices.ContainsFunc(s.records, func(r record.Record) bool { return r.Status == record.OK && !isBaseline(r) && !set(r) })
}

// ranked says whether pipelines are to be ranked: at equal bytes the error is the only difference, and over
// several windows it is known how sure it is.
func (s section) ranked() bool { return s.equalBytes() || s.records[0].Windows > 1 }

// standings ranks the pipelines that compete, by name.
func (s section) standings() map[string]standing {
	var in []record.Record
	for _, r := range s.records {
		if competes(r) && r.Error != nil {
			in = append(in, r)
		}
	}
	all := map[string]standing{}
	for i, r := range in {
		st := standing{place: 1}
		for k, o := range in {
			switch {
			case i == k:
			case tied(r, o):
				st.tied = true
			case o.Error.RelL2 < r.Error.RelL2:
				st.place++
			}
		}
		all[r.Pipeline] = st
	}
	return all
}

// tied says whether the errors of two pipelines cannot be told apart: the 95 % interval of their difference,
// window by window, holds 0. With one window only equal errors tie.
func tied(a, b record.Record) bool {
	x, y := a.Error.RelL2Windows, b.Error.RelL2Windows
	if len(x) < 2 || len(x) != len(y) {
		return a.Error.RelL2 == b.Error.RelL2
	}
	differences := make([]float64, len(x))
	for i := range x {
		differences[i] = x[i] - y[i]
	}
	mean, half := record.Interval(differences)
	return mean-half <= 0 && mean+half >= 0
}

// byPlace returns the section with its ranked pipelines first, in the order of their errors.
func (s section) byPlace(places map[string]standing) section {
	sorted := slices.Clone(s.records)
	slices.SortStableFunc(sorted, func(a, b record.Record) int {
		_, aIn := places[a.Pipeline]
		_, bIn := places[b.Pipeline]
		switch {
		case aIn && bIn && a.Error.RelL2 < b.Error.RelL2, aIn && !bIn:
			return -1
		case aIn && bIn && a.Error.RelL2 > b.Error.RelL2, bIn && !aIn:
			return 1
		}
		return 0
	})
	return section{sorted}
}

// rankColumn shows standings: =2 is a tie.
func rankColumn(places map[string]standing) column {
	return column{
		name:  "rank",
		about: "place by rel_l2 among the pipelines that reduce the cache; =: tied, over windows where the 95 % interval of the paired difference holds 0",
		value: func(r record.Record) *float64 {
			st, ok := places[r.Pipeline]
			if !ok {
				return nil
			}
			v := float64(st.place)
			return &v
		},
		text: func(r record.Record, _ float64) string {
			st := places[r.Pipeline]
			if st.tied {
				return fmt.Sprintf("=%d", st.place)
			}
			return fmt.Sprint(st.place)
		},
	}
}

// rankVerdict names the pipelines of the first place at equal bytes.
func rankVerdict(s section) string {
	text := ""
	places := s.standings()
	for _, r := range s.byPlace(places).records {
		if st, ok := places[r.Pipeline]; ok && st.place == 1 {
			text += fmt.Sprintf(", %s (%s)", oneLine(r.Pipeline), percentText(r.Error.RelL2))
		}
	}
	if text == "" {
		return "no pipeline has a smaller cache than full"
	}
	i := slices.IndexFunc(s.records, func(r record.Record) bool { return r.TargetBytes != nil })
	return fmt.Sprintf("least error within %s: %s", byteText(float64(*s.records[i].TargetBytes)), text[len(", "):])
}
