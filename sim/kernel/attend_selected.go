package kernel

// Shared: attention of decoding over gathered rows.

// Gathered is one thread's room for rows that are gathered from those of a head.
type Gathered struct {
	k, v   Rows
	latent bool // v is a Prefix of k
	pos    [block]int32
}

// NewGathered makes room for rows like those of k and v, whose scales belong to rows and that have no residual window;
// latent says that v is a prefix of k.
func NewGathered(k, v *Rows, latent bool) *Gathered {
	like := func(r *Rows) Rows {
		p := *r
		p.Data = make([]byte, 0, block*r.stride)
		if r.Scale != nil {
			p.Scale, p.Min = make([]uint16, 0, block*r.groups), make([]uint16, 0, block*r.Format.MinsPerRow(r.Dim))
		}
		return p
	}
	return &Gathered{k: like(k), v: like(v), latent: latent}
}

// AttendSelected is Attend over the rows that selected names, ascending, and over no others: their codes are
// gathered a block at a time. Scales belong to rows.
func AttendSelected(q []float32, k, v *Rows, selected []int32, room *Gathered, s *Scratch, out []Partial) {
	st, acc := s.begin(len(out), v.Dim)
	for lo := 0; lo < len(selected); lo += block {
		rows := selected[lo:min(lo+block, len(selected))]
		n := len(rows)
		pos, unread := s.bent.selected(rows, &room.pos)
		if unread {
			continue
		}
		room.k.gather(k, rows)
		kb, vb := &room.k, &room.v
		if room.latent {
			vb.PrefixOf(kb, v.Dim)
		} else {
			vb.gather(v, rows)
		}
		s.next = nil
		active.score(q, kb, 0, n, s, s.logits, block)
		kScale := active.rowScales(kb, 0, n, s.ones[:n], s.kScale)
		vScale := active.rowScales(vb, 0, n, s.ones[:n], s.vScale)
		if pos != nil {
			kScale = s.bent.bend(s, pos, kScale)
		}
		active.onlineSoftmax(s.logits, n, kScale, vScale, st)
		active.weightedSum(s.logits, vb, 0, n, s, acc, st.rescale)
	}
	st.end(acc, out)
}

// selected is block for up to block rows that are named; it takes room for their positions.
func (b *bent) selected(rows []int32, room *[block]int32) (pos []int32, unread bool) {
	if b.rules == nil {
		return nil, false
	}
	pos = room[:len(rows)]
	for i, at := range rows {
		pos[i] = b.pos[at]
	}
	return b.depends(pos)
}

// gather makes r the named rows of o.
func (r *Rows) gather(o *Rows, rows []int32) {
	n := len(rows)
	r.Data = r.Data[:n*r.stride]
	groups, mins := 0, 0
	if r.Scale != nil {
		groups, mins = r.groups, r.Format.MinsPerRow(r.Dim)
		r.Scale, r.Min = r.Scale[:n*groups], r.Min[:n*mins]
	}
	for i, at := range rows {
		from := int(at)
		copy(r.Data[i*r.stride:(i+1)*r.stride], o.Data[from*r.stride:])
		if groups > 0 {
			copy(r.Scale[i*groups:(i+1)*groups], o.Scale[from*groups:])
			copy(r.Min[i*mins:(i+1)*mins], o.Min[from*mins:])
		}
	}
}
