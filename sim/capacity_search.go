package sim

// mostTokens bounds what is looked for.
const mostTokens = 1 << 30

// largest is a number up to most whose bytes are at most limit where those of the next are not; 0 where those of 1 are not,
// and nil where those of most are.
func largest(most int, limit int64, bytes func(n int) (int64, error)) *int64 {
	yes, no := 0, most+1
	for no-yes > 1 {
		n := (yes + no) / 2
		if size, err := bytes(n); err == nil && size <= limit {
			yes = n
		} else {
			no = n
		}
	}
	if yes == most {
		return nil
	}
	found := int64(yes)
	return &found
}
