package sim

// mostTokens and mostBatch bound what is looked for.
const (
	mostTokens = 1 << 30
	mostBatch  = 1 << 20
)

// largest is a number up to most whose bytes are at most limit where those of the next are not; 0 where those of 1 are not,
// and nil where those of most are.
func largest(most int, limit int64, bytes func(n int) (int64, error)) *int64 {
	fits, not := 0, most+1
	for not-fits > 1 {
		n := (fits + not) / 2
		if size, err := bytes(n); err == nil && size <= limit {
			fits = n
		} else {
			not = n
		}
	}
	if fits == most {
		return nil
	}
	found := int64(fits)
	return &found
}
