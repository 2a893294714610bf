package method

import (
	"fmt"

	"kvgauge/sim/cache"
)

// keepBest is the decision of a method that gives each row of a stored head a score from its keys and values
// alone, and keeps the best of each head. Where the budget holds everything nothing is scored.
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

// spare refuses a budget that the entries which stay in any case fill.
func spare(c Cell, budget Entries, stay int, what string) error {
	if budget.Of(c.SeqLen) < stay+1 {
		return fmt.Errorf("budget of %s is below %s + 1 = %d", budget.describe(c.SeqLen), what, stay+1)
	}
	return nil
}

// row returns row i of a stored head's rows x [rows][dim].
func row(x []float32, dim, i int) []float32 { return x[i*dim : (i+1)*dim] }

// square is the squared Euclidean norm of a row.
func square(x []float32) float64 {
	var sum float64
	for _, a := range x {
		sum += float64(a) * float64(a)
	}
	return sum
}
