package method

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/record"
)

// Kind is the type of a parameter's value.
type Kind int

const (
	Int     Kind = iota
	AutoInt      // an Int, or auto, which reads as 0
	Budget       // entries per KV head and layer: a count, or a share of the sequence
	Choice
	List     // integers joined by /
	Real     // a positive number
	Fraction // a number from 0 to 1
	Share    // a part of a whole, as a percentage
	Format   // the name of a method that stores rows in a format
)

// Param declares one parameter of a method: the parser, the lists, completion and the help read it.
type Param struct {
	Name     string
	Kind     Kind
	Default  string   // canonical text; empty where it depends on the trace or on other flags
	Auto     string   // says what an empty default means
	Min, Max int      // of an Int, and of each of a List
	Odd      bool     // an Int must be odd
	Choices  []string // of a Choice
	Unless   string   // a Budget: not asked for where this parameter is given
	Help     string
}

// Range describes the values that the parameter takes.
func (p Param) Range() string {
	switch p.Kind {
	case Budget:
		return "count or share (128, 25%)"
	case Choice:
		return strings.Join(p.Choices, "|")
	case List:
		return fmt.Sprintf("integers from %d to %d joined by /", p.Min, p.Max)
	case Real:
		return "positive number"
	case Fraction:
		return "number from 0 to 1"
	case Share:
		return "share from 0% to 100%"
	case Format:
		return "a method of the family " + string(Quantisation)
	case AutoInt:
		return fmt.Sprintf("auto, or integer from %d to %d", p.Min, p.Max)
	default:
		kind := "integer"
		if p.Odd {
			kind = "odd integer"
		}
		return fmt.Sprintf("%s from %d to %d", kind, p.Min, p.Max)
	}
}

// wanted is Range within a sentence.
func (p Param) wanted() string {
	text := p.Range()
	switch p.Kind {
	case Int:
		return "an " + text
	case AutoInt:
		return strings.Replace(text, "integer", "an integer", 1)
	case Real:
		return "a " + text + fmt.Sprintf(" up to %.4g", math.MaxFloat32)
	case Fraction, Share:
		return "a " + text
	}
	return text
}

// Values are those of a Choice or a Format, nil of other kinds.
func (p Param) Values() []string {
	if p.Kind == Format {
		return set(string(Quantisation))
	}
	return p.Choices
}

// parse checks a value and returns its canonical text.
func (p Param) parse(text string) (string, error) {
	want := fmt.Errorf("%s=%s: want %s", p.Name, text, p.wanted())
	switch p.Kind {
	case Budget:
		b, err := ParseBudget(text)
		if err != nil {
			return "", fmt.Errorf("%s=%s: %w", p.Name, text, err)
		}
		return b.String(), nil
	case Choice, Format:
		if !slices.Contains(p.Values(), text) {
			return "", fmt.Errorf("%w%s", want, record.DidYouMean(text, p.Values()))
		}
		return text, nil
	case Real:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || !(x > 0 && x <= math.MaxFloat32) {
			return "", want
		}
		return strconv.FormatFloat(x, 'g', -1, 64), nil
	case Fraction:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || !(x >= 0 && x <= 1) {
			return "", want
		}
		return strconv.FormatFloat(math.Abs(x), 'g', -1, 64), nil // -0 is 0
	case Share:
		x, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil || !strings.HasSuffix(text, "%") || !(x >= 0 && x <= 100) {
			return "", want
		}
		return strconv.FormatFloat(x, 'f', -1, 64) + "%", nil
	case List:
		var items []string
		for item := range strings.SplitSeq(text, "/") {
			n, err := strconv.Atoi(item)
			if err != nil || n < p.Min || n > p.Max {
				return "", want
			}
			items = append(items, strconv.Itoa(n))
		}
		return strings.Join(items, "/"), nil
	default:
		if p.Kind == AutoInt && text == "auto" {
			return text, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < p.Min || n > p.Max || p.Odd && n%2 == 0 {
			return "", want
		}
		return strconv.Itoa(n), nil
	}
}

// Args are the values of a method's parameters: those given, or else their defaults.
type Args map[string]string

// Given says whether the parameter has a value.
func (a Args) Given(name string) bool { return a[name] != "" }

// Int returns the value of a checked Int, or of a Choice of numbers, 0 where it has none.
func (a Args) Int(name string) int {
	n, _ := strconv.Atoi(a[name])
	return n
}

// Ints returns the values of a checked List, nil where it has none.
func (a Args) Ints(name string) []int {
	if a[name] == "" {
		return nil
	}
	var ns []int
	for item := range strings.SplitSeq(a[name], "/") {
		n, _ := strconv.Atoi(item)
		ns = append(ns, n)
	}
	return ns
}

// Real returns the value of a checked Real or Fraction.
func (a Args) Real(name string) float64 {
	x, _ := strconv.ParseFloat(a[name], 64)
	return x
}

// Share returns the value of a checked Share, from 0 to 1.
func (a Args) Share(name string) float64 {
	x, _ := strconv.ParseFloat(strings.TrimSuffix(a[name], "%"), 64)
	return x / 100
}

// Budget returns the value of a checked Budget.
func (a Args) Budget(name string) Entries {
	b, _ := ParseBudget(a[name])
	return b
}

// Entries is a number of entries per KV head and layer: a count, or a share of the sequence.
type Entries struct {
	Count   int
	Percent float64 // of seq_len, where Count is 0
}

// ParseBudget reads a count (128, 4k) or a share (25%).
func ParseBudget(text string) (Entries, error) {
	want := fmt.Errorf("want a count from 1 to %d (128, 4k) or a share of the sequence (25%%)", MaxCount)
	if share, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(share, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return Entries{}, want
		}
		return Entries{Percent: p}, nil
	}
	n, err := ParseCount(text)
	if err != nil || n < 1 {
		return Entries{}, want
	}
	return Entries{Count: n}, nil
}

// MaxCount is the largest count of tokens or entries: their positions are stored as int32.
const MaxCount = math.MaxInt32

// ParseCount reads a whole number of tokens or entries, where k stands for 1024.
func ParseCount(text string) (int, error) {
	digits, kilo := strings.CutSuffix(text, "k")
	most := MaxCount
	if kilo {
		most /= 1024
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%q: want a whole number up to %d, k for 1024", text, MaxCount)
	}
	if kilo {
		n *= 1024
	}
	return n, nil
}

// String is the canonical text.
func (e Entries) String() string {
	if e.Count > 0 {
		return strconv.Itoa(e.Count)
	}
	return strconv.FormatFloat(e.Percent, 'f', -1, 64) + "%"
}

// Of returns the number of entries in a sequence of seqLen tokens, rounded down but at least 1. A share is taken of
// the decimal that was written: in floating point 33.3% of 1000 is below 333.
func (e Entries) Of(seqLen int) int {
	if e.Count > 0 {
		return e.Count
	}
	entries, _ := new(big.Rat).SetString(strconv.FormatFloat(e.Percent, 'f', -1, 64))
	entries.Mul(entries, big.NewRat(int64(seqLen), 100))
	return max(1, int(new(big.Int).Quo(entries.Num(), entries.Denom()).Int64()))
}

// kvpress is the budget in a sequence of seqLen tokens times n/of, in the arithmetic of NVIDIA/kvpress. Its users
// say which ratio is dropped, and 100*(1 - 0.9) is 9.999999999999998 in floating point: so it is here for 10%.
func (e Entries) kvpress(seqLen, n, of int) float64 {
	if e.Count > 0 {
		return float64(e.Count*n) / float64(of)
	}
	return float64(n) * (1 - (1 - e.Percent/100)) * (float64(seqLen) / float64(of))
}

// describe names the budget for a reason: "32 entries (25% of 128)".
func (e Entries) describe(seqLen int) string {
	if e.Count > 0 {
		return record.Count(e.Count, "entry", "")
	}
	return fmt.Sprintf("%s (%s of %d)", record.Count(e.Of(seqLen), "entry", ""), e, seqLen)
}
