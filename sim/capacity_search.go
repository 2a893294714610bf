package sim

// mostTokens bounds what is looked for.
const mostTokens = 1 << 30

// largest is a number up to most whose bytes are at most limit where those of the next are not; 0 where those of 1 are not,
// and nil where those of most are. It looks around guess first, in strides that grow eightfold, and halves what is left.
func largest(most, guess int, limit int64, bytes func(n int) (int64, error)) *int64 {
	yes, no := 0, most+1
	for n, stride := min(max(guess, 1), most), 1; no-yes > 1; {
		size, err := bytes(n)
		if err == nil && size <= limit {
			yes = n
		} else {
			no = n
		}
		switch {
		case yes > 0 && no <= most || yes+1 == no:
			n = (yes + no) / 2
			continue
		case yes > 0:
			n = min(yes+stride, most)
		default:
			n = max(no-stride, 1)
		}
		stride *= 8
	}
	if yes == most {
		return nil
	}
	found := int64(yes)
	return &found
}
