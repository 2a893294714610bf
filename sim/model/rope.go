package model

import (
	"math"
	"reflect"
	"slices"
	"strings"

	"kvgauge/sim/trace"
)

// Rope is a rotary embedding with its scaling, as transformers has them (modeling_rope_utils.py). Frequencies are computed in
// float32, as it does: at long positions their rounding shows.
type Rope struct {
	Type      string // default, linear, dynamic, llama3, yarn or longrope
	Theta     float64
	Dims      int     // leading channels of a head that are rotated
	Adjacent  bool    // channels 2p and 2p+1 are a pair, as in llama2.c, not p and p+Dims/2
	Factor    float64 // by which the context grows; 0: none is stated
	Positions int     // max_position_embeddings; 0: not stated
	Original  int     // positions that the model was trained on before

	LowFreq, HighFreq float64 // llama3: wavelengths above Original/LowFreq are scaled, those below Original/HighFreq are not

	BetaFast, BetaSlow float64 // yarn: rotations within Original, between which frequencies are mixed
	Truncate           bool    // yarn: to whole channels
	MScale, MScaleAll  float64 // yarn; 0: not stated

	Attention   float64   // length factor of queries and keys that is stated; 0: none
	Short, Long []float64 // longrope: [Dims/2] factors up to Original tokens, and beyond
}

// ropeFields are those of each type, besides rope_type, rope_theta and partial_rotary_factor.
var ropeFields = map[string][]string{
	"default":  nil,
	"linear":   {"factor"},
	"dynamic":  {"factor"},
	"llama3":   {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"},
	"yarn":     {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"},
	"longrope": {"factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor"},
}

// ropeSpec is what a family says of its rotary embeddings.
type ropeSpec struct {
	theta   float64 // where none is stated
	types   []string
	partial bool // partial_rotary_factor has an effect
	alias   map[string]string
}

// ropeTypes are those of most families.
var ropeTypes = []string{"default", "linear", "dynamic", "llama3", "yarn"}

// rope reads the rotary embedding of all layers: rope_parameters, or rope_scaling and rope_theta, as older versions of
// transformers write them.
func (c *Config) rope(f *fields, s ropeSpec) {
	theta := f.numberOr("rope_theta", s.theta)
	var stated []Rope
	for _, name := range []string{"rope_scaling", "rope_parameters"} {
		if o := f.object(name); o != nil {
			stated = append(stated, c.ropeOf(f, o, theta, s))
		}
	}
	switch len(stated) {
	case 0:
		stated = append(stated, c.ropeOf(f, &fields{read: map[string]bool{}, err: f.err}, theta, s))
	case 2:
		if !reflect.DeepEqual(stated[0], stated[1]) {
			f.fail("rope_scaling", "not the same as rope_parameters, want one of them")
		}
	}
	c.Ropes = stated[:1]
}

// ropeOf reads one object of rope parameters.
func (c *Config) ropeOf(f, o *fields, theta float64, s ropeSpec) Rope {
	r := Rope{Type: "default", Theta: o.numberOr("rope_theta", theta), Positions: c.Positions}
	name := "rope_type"
	if !o.has(name) && o.has("type") {
		name = "type"
	}
	if text, ok := take[string](o, name, "a string"); ok {
		r.Type = text
	}
	o.read["type"] = true
	if to, ok := s.alias[r.Type]; ok {
		r.Type = to
	}
	if !slices.Contains(s.types, r.Type) {
		o.fail(name, "%s, want %s; kvgauge trace hook prints a program that captures any model in PyTorch", printable(r.Type), strings.Join(s.types, ", "))
		return r
	}
	partial := o.numberOr("partial_rotary_factor", f.numberOr("partial_rotary_factor", 1))
	if partial > 1 || partial < 1 && !s.partial {
		o.fail("partial_rotary_factor", "%v, want 1", partial)
	}
	if r.Dims = int(float64(c.HeadDim) * partial); r.Dims < 2 || r.Dims%2 != 0 {
		f.fail("head_dim", "%d rotated channels, want an even number", r.Dims)
		return r
	}
	for _, field := range o.unread() {
		if !slices.Contains(ropeFields[r.Type], field) {
			o.fail(field, "not a field of rope_type %s, want %s", r.Type, strings.Join(append([]string{"rope_type, rope_theta"}, ropeFields[r.Type]...), ", "))
		}
	}
	r.scaling(f, o)
	return r
}

// scaling reads the fields of the type.
func (r *Rope) scaling(f, o *fields) {
	switch r.Type {
	case "linear", "dynamic", "llama3":
		r.Factor = o.number("factor")
	case "yarn", "longrope":
		r.Factor = o.numberOr("factor", 0)
		r.Attention = o.numberOr("attention_factor", 0)
	}
	if r.Positions == 0 && (r.Type == "dynamic" || r.Type != "llama3" && r.Type != "linear" && r.Type != "default" && r.Factor == 0) {
		f.fail("max_position_embeddings", "missing, want it for rope_type %s", r.Type)
	}
	switch r.Type {
	case "dynamic":
		if r.Dims < 4 {
			f.fail("head_dim", "%d rotated channels, want at least 4 for rope_type dynamic", r.Dims)
		}
	case "llama3", "yarn", "longrope":
		r.Original = f.naturalOr("original_max_position_embeddings", o.naturalOr("original_max_position_embeddings", r.Positions, 1, maxTokens), 1, maxTokens)
		if r.Original == 0 {
			o.fail("original_max_position_embeddings", "missing, want it for rope_type %s", r.Type)
		}
	}
	switch r.Type {
	case "llama3":
		r.LowFreq, r.HighFreq = o.number("low_freq_factor"), o.number("high_freq_factor")
		if r.HighFreq == r.LowFreq {
			o.fail("high_freq_factor", "%v, want another number than low_freq_factor", r.HighFreq)
		}
	case "yarn":
		r.BetaFast, r.BetaSlow = o.numberOr("beta_fast", 32), o.numberOr("beta_slow", 1)
		r.Truncate = o.flag("truncate", true)
		r.MScale, r.MScaleAll = o.numberOr("mscale", 0), o.numberOr("mscale_all_dim", 0)
		if r.Theta == 1 {
			o.fail("rope_theta", "1, want another number")
		}
	case "longrope":
		r.Short, r.Long = o.factors("short_factor", r.Dims/2), o.factors("long_factor", r.Dims/2)
		if r.Original < 2 {
			f.fail("original_max_position_embeddings", "%d, want at least 2", r.Original)
		}
	}
}

// factors reads a list of n positive numbers.
func (f *fields) factors(name string, n int) []float64 {
	list, _ := take[[]float64](f, name, "a list of finite numbers")
	if len(list) != n {
		f.fail(name, "%d numbers, want %d, one for each pair of rotated channels", len(list), n)
		return nil
	}
	for i, x := range list {
		if !(x > 0) {
			f.fail(name, "number %d: %v, want a finite number above 0", i, x)
		}
	}
	return list
}

// Frequencies returns the radians per position of each pair, for a text of so many tokens, and the factor that the rotated
// channels are multiplied with.
func (r *Rope) Frequencies(tokens int) (inv []float32, factor float64) {
	factor = 1
	switch r.Type {
	case "dynamic": // NTK: theta grows with the text
		long := float64(max(tokens, r.Positions))
		grown := r.Theta * math.Pow(r.Factor*long/float64(r.Positions)-(r.Factor-1), float64(r.Dims)/float64(r.Dims-2))
		return inverse(grown, r.Dims), factor
	case "yarn":
		return r.yarn()
	case "longrope":
		return r.longRope(tokens)
	}
	inv = inverse(r.Theta, r.Dims)
	for p, w := range inv {
		switch r.Type {
		case "linear":
			inv[p] = w / float32(r.Factor)
		case "llama3":
			inv[p] = r.llama3(w)
		}
	}
	return inv, factor
}

// inverse returns 1/theta^(2p/dims) for each pair p.
func inverse(theta float64, dims int) []float32 {
	inv := make([]float32, dims/2)
	for p := range inv {
		inv[p] = 1 / power(theta, p, dims)
	}
	return inv
}

// power is theta^(2p/dims) in float32.
func power(theta float64, p, dims int) float32 {
	return float32(math.Pow(float64(float32(theta)), float64(float32(2*p)/float32(dims))))
}

// llama3 scales a frequency by its wavelength (Llama 3.1).
func (r *Rope) llama3(w float32) float32 {
	wavelength := float32(2*math.Pi) / w
	original := float64(r.Original)
	switch {
	case wavelength < float32(original/r.HighFreq):
		return w
	case wavelength > float32(original/r.LowFreq):
		return w / float32(r.Factor)
	}
	smooth := (float32(original)/wavelength - float32(r.LowFreq)) / float32(r.HighFreq-r.LowFreq)
	return float32((1-smooth)*w/float32(r.Factor)) + float32(smooth*w)
}

// yarn mixes scaled frequencies and others (Peng et al., YaRN, arXiv:2309.00071, sec. 3.2 and 3.4).
func (r *Rope) yarn() (inv []float32, factor float64) {
	scale := r.Factor
	if scale == 0 {
		scale = float64(r.Positions) / float64(r.Original)
	}
	if factor = r.Attention; factor == 0 {
		factor = mscale(scale, 1)
		if r.MScale != 0 && r.MScaleAll != 0 {
			factor = mscale(scale, r.MScale) / mscale(scale, r.MScaleAll)
		}
	}
	channel := func(rotations float64) float64 {
		return float64(r.Dims) * math.Log(float64(r.Original)/(rotations*2*math.Pi)) / (2 * math.Log(r.Theta))
	}
	low, high := channel(r.BetaFast), channel(r.BetaSlow)
	if r.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, float64(r.Dims-1))
	if low == high {
		high += 0.001
	}
	inv = make([]float32, r.Dims/2)
	for p := range inv {
		f := power(r.Theta, p, r.Dims)
		keep := 1 - max(0, min(1, float32(float32(p)-float32(low))/float32(high-low)))
		inv[p] = float32(1/(float32(scale)*f)*(1-keep)) + float32(1/f*keep)
	}
	return inv, factor
}

// mscale is how YaRN lengthens queries and keys.
func mscale(scale, by float64) float64 {
	if scale <= 1 {
		return 1
	}
	return 0.1*by*math.Log(scale) + 1
}

// longRope scales each pair by its own factor (Ding et al., LongRoPE, arXiv:2402.13753), by others beyond the original length.
func (r *Rope) longRope(tokens int) (inv []float32, factor float64) {
	scale := r.Factor
	if scale == 0 {
		scale = float64(r.Positions) / float64(r.Original)
	}
	if factor = r.Attention; factor == 0 {
		factor = 1
		if scale > 1 {
			factor = math.Sqrt(1 + math.Log(scale)/math.Log(float64(r.Original)))
		}
	}
	factors := r.Short
	if tokens > r.Original {
		factors = r.Long
	}
	inv = make([]float32, r.Dims/2)
	for p := range inv {
		inv[p] = 1 / (float32(factors[p]) * power(r.Theta, p, r.Dims))
	}
	return inv, factor
}

// traced is the rotary embedding as a trace has it: plain ones by theta alone.
func (r *Rope) traced(tokens int) (rope trace.Rope, factor float64) {
	rope = trace.Rope{Theta: r.Theta, Style: "neox", Dims: r.Dims}
	if r.Adjacent {
		rope.Style = "gptj"
	}
	inv, factor := r.Frequencies(tokens)
	if r.Type == "default" {
		rope.InvFreq = trace.Frequencies(r.Theta, r.Dims)
		return rope, factor
	}
	for _, w := range inv {
		rope.InvFreq = append(rope.InvFreq, float64(w))
	}
	return rope, factor
}

// angles are the sines and cosines of positions for each pair of channels, times the length factor.
type angles struct {
	pairs    int
	adjacent bool
	sin, cos []float32 // [positions][pairs]
}

// angles computes those of n positions from one on. The angle is rounded to float32 before its sine is taken, as in transformers.
func (r *Rope) angles(inv []float32, factor float64, first, n int) *angles {
	a := &angles{pairs: len(inv), adjacent: r.Adjacent, sin: make([]float32, n*len(inv)), cos: make([]float32, n*len(inv))}
	for t := range n {
		a.set(t, inv, factor, first+t)
	}
	return a
}

// set computes row t, of a position.
func (a *angles) set(t int, inv []float32, factor float64, position int) {
	for p, w := range inv {
		sin, cos := math.Sincos(float64(float32(position) * w))
		a.sin[t*a.pairs+p], a.cos[t*a.pairs+p] = float32(sin)*float32(factor), float32(cos)*float32(factor)
	}
}

// rotate rotates a head's row at position t of the table, in place.
func (a *angles) rotate(row []float32, t int) {
	sin, cos := a.sin[t*a.pairs:(t+1)*a.pairs], a.cos[t*a.pairs:(t+1)*a.pairs]
	if a.adjacent {
		for p := range sin {
			x, y := row[2*p], row[2*p+1]
			row[2*p], row[2*p+1] = float32(x*cos[p])-float32(y*sin[p]), float32(x*sin[p])+float32(y*cos[p])
		}
		return
	}
	low, high := row[:a.pairs], row[a.pairs:2*a.pairs]
	for p, x := range low {
		y := high[p]
		low[p], high[p] = float32(x*cos[p])-float32(y*sin[p]), float32(x*sin[p])+float32(y*cos[p])
	}
}
