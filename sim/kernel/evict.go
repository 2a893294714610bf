package kernel

// Evict drops rows, named in ascending order, and closes the gaps; the other rows keep their order and their
// codes. It allocates nothing.
func (r *Rows) Evict(drop []int32) { r.evict(drop, 0) }

// evict drops rows where row 0 is named by first.
func (r *Rows) evict(drop []int32, first int) {
	n := r.own()
	if r.Then != nil {
		r.Then.evict(drop, first+n)
	}
	lo := 0
	for lo < len(drop) && int(drop[lo]) < first {
		lo++
	}
	hi := lo
	for hi < len(drop) && int(drop[hi]) < first+n {
		hi++
	}
	if drop = drop[lo:hi]; len(drop) == 0 {
		return
	}
	r.Data = compact(r.Data, r.stride, drop, first)
	switch {
	case r.Tokens > 0:
		r.evictGroups(drop, first, n)
	case r.Scale != nil:
		r.Scale = compact(r.Scale, r.groups, drop, first)
		r.Min = compact(r.Min, r.Format.MinsPerRow(r.width), drop, first)
	}
}

// compact evicts items of size elements each.
func compact[T any](s []T, size int, drop []int32, first int) []T {
	to := (int(drop[0]) - first) * size
	for i, d := range drop {
		from, end := (int(d)-first+1)*size, len(s)
		if i+1 < len(drop) {
			end = (int(drop[i+1]) - first) * size
		}
		to += copy(s[to:], s[from:end])
	}
	return s[:to]
}

// evictGroups moves the ends of groups, of n rows before, and drops those that are empty.
func (r *Rows) evictGroups(drop []int32, first, n int) {
	if len(r.ends) == 0 {
		for lo := 0; lo < n; lo += r.Tokens {
			r.ends = append(r.ends, int32(min(lo+r.Tokens, n))) // an open group may have fewer
		}
	}
	w := r.perGroup()
	gone, held, groups := 0, 0, 0
	for g, end := range r.ends {
		for gone < len(drop) && int(drop[gone])-first < int(end) {
			gone++
		}
		left := int(end) - gone
		if left == held {
			continue
		}
		copy(r.Scale[groups*w:], r.Scale[g*w:(g+1)*w])
		if r.Min != nil {
			copy(r.Min[groups*w:], r.Min[g*w:(g+1)*w])
		}
		r.ends[groups], held = int32(left), left
		groups++
	}
	r.ends, r.Scale = r.ends[:groups], r.Scale[:groups*w]
	if r.Min != nil {
		r.Min = r.Min[:groups*w]
	}
}
