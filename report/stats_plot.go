package report
import "kvgauge/sim/trace"
func WriteStatsPlot(path string, t *trace.Trace, s *trace.Stats) error { return nil }
