package sim

import (
	"context"
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/record"
)

// overWindows makes the errors of a measured cell means over all of its windows. measure measures one of them.
func (m *measurement) overWindows(ctx context.Context, c Cell, asked int, measure func(context.Context, Cell) (measurement, error)) error {
	if c.Windows < asked {
		m.warn(cache.Warning{Code: "clamped", Text: c.clamped(asked)})
	}
	if c.Windows < 2 {
		return nil
	}
	all := []*record.ErrorStats{m.accuracy}
	c.Warnings = nil // they are the cell's
	for i := 1; i < c.Windows; i++ {
		w, err := c.window(i)
		if err != nil {
			return err
		}
		shorter, err := measure(ctx, w)
		if err != nil {
			return fmt.Errorf("window of %d tokens: %w", w.SeqLen, err)
		}
		all = append(all, shorter.accuracy)
		for _, warning := range shorter.warnings {
			if !m.warned(warning.Code) {
				m.warn(cache.Warning{Code: warning.Code, Text: fmt.Sprintf("window of %d tokens: %s", w.SeqLen, warning.Text)})
			}
		}
	}
	m.accuracy = record.MeanOverWindows(all)
	return nil
}

// clamped says why a cell averages fewer windows than were asked for.
func (c Cell) clamped(asked int) string {
	why := "the next would end below half the sequence, or before the trace's queries"
	if c.Windows < c.windows(asked) {
		why = fmt.Sprintf("the next needs an external result at %d tokens", c.SeqLen-c.Windows*c.Decode)
	}
	return fmt.Sprintf("%s of the %d asked for: %s", record.Count(c.Windows, "window", ""), asked, why)
}
