package trace

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/record"
)

// SynthParam declares one parameter of the synthetic trace: the parser, the lists and the canonical form
// read it.
type SynthParam struct {
	Name    string
	Default string
	Help    string

	least, most float64
	whole       bool // the value is an integer, where k stands for 1024
}

// synthParams is the table of parameters. The strengths of statistics are 1, or a share, at what real
// traces show.
var synthParams = []SynthParam{
	{"model", "1", "number of the model: bases and strengths of its heads follow from it", 0, maxSynthNumber - 1, true},
	{"text", "0", "number of the text: with the seed, the content follows from it", 0, maxSynthNumber - 1, true},
	{"layers", "4", "layers", 1, 512, true},
	{"q_heads", "8", "query heads, a multiple of kv_heads", 1, 1024, true},
	{"kv_heads", "8", "KV heads", 1, 1024, true},
	{"head_dim", "64", "dimensions of a head, a multiple of 8", 16, 512, true},
	{"tokens", "4096", "length; without it the trace grows to what is asked for", 1, maxSynthTokens, true},
	{"theta", "10000", "base of the rotary embedding (neox halves)", 1, 1e12, false},
	{"sink", "1", "strength of the attention sink, token 0, from the second layer up", 0, 4, false},
	{"locality", "1", "strength of attention to the latest tokens", 0, 4, false},
	{"heavy", "1", "strength of the few tokens that most queries attend to", 0, 4, false},
	{"drift", "4", "changes of topic in 1024 tokens", 0.125, 256, false},
	{"rank", "0.25", "directions of a head's content, as a share of head_dim", 0.03, 0.33, false},
	{"layer_similarity", "0.8", "correlation of the content of adjacent layers", 0, 1, false},
	{"query_similarity", "0.85", "cosine of adjacent queries, rotation aside", 0.1, 1, false},
	{"needles", "8", "needles asked for in the decode window of each power of two; 0 is none", 0, 16, true},
	{"v_dim", "0", "dimensions of a value, a multiple of 8; 0 is head_dim", 0, 512, true},
	{"scale", "0", "factor of the logits, which rows make up for; 0 is 1/sqrt(head_dim)", 0, 16, false},
	{"softcap", "0", "cap of the logits; 0 is none", 0, 1000, false},
	{"sinks", "0", "odds of a logit in each softmax that has no value, besides token 0, at 1024 tokens; 0 is none", 0, 4, false},
	{"alibi", "0", "1: ALiBi with the slopes 2^(-8(h+1)/q_heads)", 0, 1, true},
	{"rope", "1", "0: no rotary embedding", 0, 1, true},
	{"window", "0", "tokens that a query reads, up to its own; 0 is all", 0, maxSynthTokens, true},
	{"chunk", "0", "tokens of a chunk, of which a query reads its own; 0 is none", 0, maxSynthTokens, true},
	{"full_every", "0", "every layer of so many, the last, is without window and chunk; 0 is none", 0, 512, true},
	{"state", "0", "bytes that the layers which are not those of full_every keep in place of keys; 0 is none", 0, 1 << 40, true},
	{"latent", "0", "channels of the latent that a layer caches for all heads in place of keys and values, a multiple of 8 from 16; 0 is none", 0, 4096, true},
	{"latent_rope", "0", "dimensions of the rotated key that the heads share beside it, a multiple of 8 from 16; 0 is half of head_dim, which is without them", 0, 512, true},
	{"nope_full", "0", "1: no rotary embedding in the layers of full_every", 0, 1, true},
	{"window_kv_heads", "0", "KV heads of the layers that are not those of full_every; 0 is kv_heads", 0, 1024, true},
	{"window_head_dim", "0", "dimensions of a head of these, a multiple of 8 from 16; 0 is head_dim", 0, 512, true},
	{"window_theta", "0", "base of the rotary embedding of these, from 1; 0 is theta", 0, 1e12, false},
}

const (
	maxSynthNumber = 1 << 31
	maxSynthTokens = 1 << 24
	// maxSynthLayer bounds the rows of one layer, which are read as a whole, in bytes.
	maxSynthLayer = 1 << 36
)

// SynthParams returns the parameters of the synthetic trace.
func SynthParams() []SynthParam { return slices.Clone(synthParams) }

// want describes the values that a parameter takes.
func (p SynthParam) want() string {
	kind := "a number"
	if p.whole {
		kind = "an integer"
	}
	return fmt.Sprintf("%s from %s to %s", kind, synthNumber(p.least), synthNumber(p.most))
}

// parse checks a value.
func (p SynthParam) parse(text string) (float64, error) {
	digits, unit := text, 1.0
	if rest, ok := strings.CutSuffix(text, "k"); ok && p.whole {
		digits, unit = rest, 1024
	}
	var x float64
	var err error
	if p.whole {
		var n int64
		n, err = strconv.ParseInt(digits, 10, 64)
		x = float64(n)
	} else {
		x, err = strconv.ParseFloat(digits, 64)
	}
	if x *= unit; err != nil || !(p.least <= x && x <= p.most) {
		return 0, fmt.Errorf("%s=%s: want %s", p.Name, text, p.want())
	}
	return math.Abs(x), nil // -0 is 0
}

// synthArgs are the values of all parameters, by name.
type synthArgs map[string]float64

// parseSynth reads synth or synth:key=value,key=value and says which parameters were given.
func parseSynth(spec string) (args synthArgs, given map[string]bool, err error) {
	args, given = synthArgs{}, map[string]bool{}
	var names []string
	for _, p := range synthParams {
		args[p.Name], _ = p.parse(p.Default)
		names = append(names, p.Name)
	}
	_, list, colon := strings.Cut(spec, ":")
	if !colon {
		return args, given, nil
	}
	for _, item := range strings.Split(list, ",") {
		name, text, ok := strings.Cut(item, "=")
		if !ok {
			return nil, nil, fmt.Errorf("%q: want key=value", item)
		}
		i := slices.Index(names, name)
		switch {
		case i < 0:
			return nil, nil, fmt.Errorf("no parameter %q%s", name, cmp.Or(record.DidYouMean(name, names), ", want one of "+strings.Join(names, ", ")))
		case given[name]:
			return nil, nil, fmt.Errorf("%s is given twice", name)
		}
		if args[name], err = synthParams[i].parse(text); err != nil {
			return nil, nil, err
		}
		given[name] = true
	}
	if args.isLatent() && !given["kv_heads"] {
		args["kv_heads"] = 1
	}
	return args, given, args.check()
}

// leastHead is the fewest channels that the parts of a key find room in.
const leastHead = 16

// checkLatent refuses latents that fit no layer.
func (a synthArgs) checkLatent() error {
	switch n := a.int("latent"); {
	case n == 0 && a["latent_rope"] > 0:
		return fmt.Errorf("latent_rope=%d: want latent beside it", a.int("latent_rope"))
	case n == 0:
		return nil
	case a.int("kv_heads") > 1, a.int("window_kv_heads") > 1:
		return fmt.Errorf("latent=%d: want kv_heads=1, one row is cached for all heads", n)
	}
	return nil
}

// check refuses shapes that fit no trace, and what would say nothing.
func (a synthArgs) check() error {
	for _, name := range []string{"kv_heads", "window_kv_heads"} {
		if n := a.int(name); n > 0 && a.int("q_heads")%n != 0 {
			return fmt.Errorf("q_heads=%d: want a multiple of %s=%d", a.int("q_heads"), name, n)
		}
	}
	if err := a.checkLatent(); err != nil {
		return err
	}
	for _, name := range []string{"head_dim", "window_head_dim", "v_dim", "latent", "latent_rope"} {
		if a.int(name)%8 != 0 {
			return fmt.Errorf("%s=%d: want a multiple of 8", name, a.int(name))
		}
	}
	for _, p := range []struct {
		name  string
		least float64
	}{{"window_head_dim", leastHead}, {"latent", leastHead}, {"latent_rope", leastHead}, {"window_theta", 1}, {"scale", 0.001}, {"full_every", 2}} {
		if x := a[p.name]; 0 < x && x < p.least {
			return fmt.Errorf("%s=%s: want 0, or %s or more", p.name, synthNumber(x), synthNumber(p.least))
		}
	}
	switch n := a.int("full_every"); {
	case n > a.int("layers"):
		return fmt.Errorf("full_every=%d: want at most layers=%d", n, a.int("layers"))
	case n == 0 && a["nope_full"] > 0:
		return errors.New("nope_full=1: want full_every beside it")
	case n == 0 && a["state"] > 0:
		return fmt.Errorf("state=%d: want full_every beside it, which layers hold keys", a.int("state"))
	case n > 0 && a["state"] == 0 && maps.Equal(a.at(0), a.at(n-1)):
		return fmt.Errorf("full_every=%d: want window, chunk, state, nope_full or a window_ parameter beside it", n)
	}
	for _, layer := range []int{0, max(0, a.int("full_every")-1)} {
		l := a.at(layer)
		b := 4 * a["tokens"] * (l["q_heads"]*float64(l.width()) + l["kv_heads"]*(float64(l.width())+l["v_dim"]))
		b += l["latent"] * (8*a["tokens"] + 2*l["q_heads"]*(l["head_dim"]+l["v_dim"])) // twice in rows, and the weights
		if b > maxSynthLayer {
			return fmt.Errorf("tokens=%d: a layer takes %.0f GiB, want at most %d", a.int("tokens"), b/(1<<30), maxSynthLayer>>30)
		}
	}
	return nil
}

// int returns the value of a whole parameter.
func (a synthArgs) int(name string) int { return int(a[name]) }

// canonical writes the parameters that differ from their defaults, sorted, with or without the length.
func (a synthArgs) canonical(tokens bool) string {
	var items []string
	for _, p := range synthParams {
		def, _ := p.parse(p.Default)
		if a[p.Name] != def && (tokens || p.Name != "tokens") {
			items = append(items, p.Name+"="+synthNumber(a[p.Name]))
		}
	}
	if len(items) == 0 {
		return "synth"
	}
	slices.Sort(items)
	return "synth:" + strings.Join(items, ",")
}

// synthNumber is the shortest text of a value, without exponent.
func synthNumber(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
