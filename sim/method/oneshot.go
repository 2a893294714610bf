package method

import (
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/record"
)

// keepBest is the decision of a method that gives each row of a stored head a score, and keeps the best of each
// head. Where the budget holds everything nothing is scored.
func keepBest(c Cell, v *cache.View, budget int, scores func(head int) []float64) cache.Decision {
	rows := v.Rows(0)
	d := cache.Decision{Warnings: aboveLength(budget, rows, "prompt")}
	if budget >= rows {
		return d
	}
	d.Keep = make([][]int32, v.Heads())
	c.Pool.Run(len(d.Keep), func(_, j int) { d.Keep[j] = topK(scores(j), budget) })
	return d
}

// nothingChanged is the warning of a method that leaves the cache as it is.
func nothingChanged(format string, args ...any) []cache.Warning {
	return []cache.Warning{{Code: "nothing-changed", Text: fmt.Sprintf(format, args...)}}
}

// aboveLength is the warning of a budget that everything fits in.
func aboveLength(budget, tokens int, what string) []cache.Warning {
	if budget <= tokens {
		return nil
	}
	return []cache.Warning{{
		Code: "budget-above-length",
		Text: fmt.Sprintf("budget of %s is above the %s's %d: everything is kept", record.Count(budget, "entry", ""), what, tokens),
	}}
}
