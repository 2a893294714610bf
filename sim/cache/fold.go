package cache

import "kvgauge/sim/kernel"

// projection is a Fold with the memory that it writes to.
type projection struct {
	fold      Fold
	linear    *Linear // the fold, where it is a product with matrices: heads then go in parallel
	up        *Up     // the fold, where it is the model's own, likewise
	pool      *kernel.Pool
	before, k int       // channels of a query before and after
	outBefore int       // channels of a value before
	v         int       // and after
	q         []float32 // [query head][k] queries after
	u         []float32 // [query head][v] what they read

	// Of the products at hand.
	matrices []Matrix  // [KV head before]
	x, y     []float32 // [query head][channels]
	multiply func(worker, j int)

	scratch       []*kernel.Scratch      // [worker] of an Up
	toRow, toHead func(worker, head int) // its products
}

// newProjection is that of a fold, for queries that are width wide after the fold.
func newProjection(f Fold, qHeads int, before, after Shape, width int, pool *kernel.Pool) *projection {
	p := &projection{
		fold: f, pool: pool, before: before.K, k: width, v: after.V, outBefore: before.V,
		q: make([]float32, qHeads*width), u: make([]float32, qHeads*after.V),
	}
	switch f := f.(type) {
	case Linear:
		p.linear, p.multiply = &f, p.multiplyHead
	case Up:
		p.up = &f
		for range pool.Threads() {
			p.scratch = append(p.scratch, kernel.NewScratch(1, max(before.K, after.K)))
		}
		p.toRow = func(worker, h int) {
			f.query(h, p.x[h*p.before:(h+1)*p.before], p.y[h*p.k:(h+1)*p.k], p.scratch[worker])
		}
		p.toHead = func(worker, h int) {
			f.output(h, p.x[h*p.v:(h+1)*p.v], p.y[h*p.outBefore:(h+1)*p.outBefore], p.scratch[worker])
		}
	}
	return p
}

// flops is what projecting the queries and outputs of all heads takes, as dense matrices.
func (p *projection) flops() int64 {
	if p.up != nil {
		return p.up.flops()
	}
	return 2 * int64(len(p.q)/p.k) * int64(p.before*p.k+p.v*p.outBefore)
}

// queries projects the queries of all heads.
func (p *projection) queries(layer, pos int, q []float32) []float32 {
	if p.linear != nil {
		p.product(p.linear.Key[layer], q, p.q)
		return p.q
	}
	if p.up != nil {
		p.absorb(q, p.q, p.toRow)
		return p.q
	}
	for h := range len(p.q) / p.k {
		p.fold.Query(layer, h, pos, q[h*p.before:(h+1)*p.before], p.q[h*p.k:(h+1)*p.k])
	}
	return p.q
}

// outputs projects what all heads read, u, to values before the map.
func (p *projection) outputs(layer int, dst []float32) {
	if p.linear != nil {
		p.product(p.linear.Value[layer], p.u, dst)
		return
	}
	if p.up != nil {
		p.absorb(p.u, dst, p.toHead)
		return
	}
	for h := range len(p.q) / p.k {
		p.fold.Output(layer, h, p.u[h*p.v:(h+1)*p.v], dst[h*p.outBefore:(h+1)*p.outBefore])
	}
}

// absorb projects x of all heads into y, by an Up.
func (p *projection) absorb(x, y []float32, project func(worker, head int)) {
	p.x, p.y = x, y
	pool := p.pool
	if p.up.flops()/4 < inlineWork {
		pool = nil
	}
	pool.Run(len(p.up.Key), project)
}

// product multiplies the rows of x by their head's matrix into y.
func (p *projection) product(ms []Matrix, x, y []float32) {
	p.matrices, p.x, p.y = ms, x, y
	pool := p.pool
	if len(y)*ms[0].Cols < inlineWork {
		pool = nil
	}
	pool.Run(len(ms), p.multiply)
}

// multiplyHead multiplies the rows of the query heads that read KV head j, by the matrix that they share.
func (p *projection) multiplyHead(_, j int) {
	m, g := p.matrices[j], p.linear.Group
	kernel.Multiply(p.x[j*g*m.Cols:(j+1)*g*m.Cols], m.Data, m.Cols, p.y[j*g*m.Rows:(j+1)*g*m.Rows], m.Rows)
}
