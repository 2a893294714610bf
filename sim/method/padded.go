package method

import "kvgauge/sim/cache"

// padded returns scores as kvpress's SnapKV gives them, [stored head][rows]: the mean probability over the
// window's queries, pooled; and for each of the window's own rows one more than the largest of any head, so
// that the window is kept, but as rows with a score and not beside them.
func (o observation) padded(c Cell, v *cache.View) [][]float64 {
	scores := o.scores(c, v)
	var largest float64
	for _, head := range scores {
		for i := range head {
			head[i] /= float64(o.window)
			largest = max(largest, head[i])
		}
	}
	for j := range scores {
		for range o.window {
			scores[j] = append(scores[j], largest+1)
		}
	}
	return scores
}
