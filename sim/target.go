package sim

import (
	"context"
	"errors"
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
	"kvgauge/sim/method"
)

// offTarget is how far below the target a cache may be without a warning, as a share of the target.
const offTarget = 0.01

// sizer sets cells to the size that they are to have, of an equal-bytes run all to one. Sizes are those of stores that are built from the cell's own
// rows, prompt and decoded tokens, as the measurement builds them; no output is compared with the reference.
type sizer struct {
	options Options
	pool    *kernel.Pool
	replay  func(Cell) *replay // that compares nothing
}

// size sets the knob of one cell, or says in Skip why it does not fit.
func (s *sizer) size(ctx context.Context, c *Cell) error {
	target := c.target(s.options)
	if target == nil {
		return nil
	}
	c.Target = target.of(c.fullBytes())
	knob, ok := c.knob(s.options.Seed, s.pool)
	if !ok {
		return s.sizeFixed(ctx, c)
	}
	if left := c.leftAlone(s.options.Seed); left >= c.Target {
		c.Skip = fmt.Sprintf("layers with a window or chunks, which scope=full leaves alone, take %d bytes: the target is %d", left, c.Target)
		return nil
	}
	found, err := search(len(knob.Settings), c.Target, func(i int) (int64, error) {
		set := *c
		var err error
		if set.Pipeline, err = knob.Set(i); err != nil {
			return 0, err
		}
		return s.bytes(ctx, set)
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		c.Skip = fmt.Sprintf("its size cannot be set: %v", err)
		return nil
	case found.at < 0:
		c.Skip = fmt.Sprintf("the smallest cache, %s=%s, is above the target of %d bytes", knob.Param, knob.Settings[0], c.Target)
		return nil
	}
	set, err := knob.Set(found.at)
	if err != nil {
		return err
	}
	fitted := *c
	fitted.Pipeline = set
	if why := fitted.fit(s.options.Seed); why != nil {
		c.Skip = fmt.Sprintf("no setting of %s fits the target of %d bytes: %v", knob.Param, c.Target, why)
		return nil
	}
	c.Pipeline, c.Knob = set, knob.Param
	next := "it is the largest"
	if found.at+1 < len(knob.Settings) {
		next = fmt.Sprintf("the next larger, %s, is above it", knob.Settings[found.at+1])
	}
	c.checkTarget(found.bytes, fmt.Sprintf("%s=%s is the nearest: %s", knob.Param, knob.Settings[found.at], next))
	return nil
}

// leftAlone is the bytes of the layers that some stage of the pipeline leaves as they are.
func (c Cell) leftAlone(seed uint64) (n int64) {
	for _, layer := range c.windowed(c.owners()) {
		if c.Pipeline.Leaves(c.forMethod(seed, nil, layer)) {
			n += c.layerBytes(layer, c.held(layer))
		}
	}
	return n
}

// knob is the pipeline's, with the most settings that it has in any kind of layer.
func (c Cell) knob(seed uint64, pool *kernel.Pool) (best method.Knob, ok bool) {
	for _, g := range c.kinds() {
		if knob, has := c.Pipeline.Knob(c.forMethod(seed, pool, g[0])); has && len(knob.Settings) > len(best.Settings) {
			best, ok = knob, true
		}
	}
	return best, ok
}

// sizeFixed skips a cell without a knob whose cache is above the target.
func (s *sizer) sizeFixed(ctx context.Context, c *Cell) error {
	if why := c.fit(s.options.Seed); why != nil {
		c.Skip = why.Error()
		return nil
	}
	n, err := s.bytes(ctx, *c)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		c.Skip = fmt.Sprintf("its size is not known: %v", err)
	case n > c.Target:
		c.Skip = fmt.Sprintf("its cache of %d bytes is above the target of %d, and no knob is left to set", n, c.Target)
	default:
		c.checkTarget(n, "the pipeline has no knob left to set")
	}
	return nil
}

// checkTarget warns where the cache is more than offTarget below the target.
func (c *Cell) checkTarget(n int64, why string) {
	below := 1 - float64(n)/float64(c.Target)
	if below > offTarget {
		c.Warnings = append(c.Warnings, cache.Warning{
			Code: "size-off-target",
			Text: fmt.Sprintf("cache of %d bytes is %.1f %% below the target of %d: %s", n, 100*below, c.Target, why),
		})
	}
}

// errUnfit marks a setting that the method refuses: too small a budget for its window.
var errUnfit = errors.New("the setting does not apply")

// bytes are the cache bytes of a cell, as its record would have them.
func (s *sizer) bytes(ctx context.Context, c Cell) (int64, error) {
	if err := c.fit(s.options.Seed); err != nil {
		return 0, fmt.Errorf("%w: %w", errUnfit, err)
	}
	if x := c.result(); x.dense() {
		return x.bytes, nil
	}
	p := s.replay(c)
	if err := p.layers(ctx); err != nil {
		return 0, err
	}
	return p.cacheBytes(), nil
}

// setting is one setting of a knob, by its index, with the cache bytes that it makes.
type setting struct {
	at    int
	bytes int64
}

// search finds the last of n settings in ascending order of size whose size is not above the target; at is -1
// where all are. Sizes grow nearly evenly with most knobs, so that it guesses by the line through the last
// two sizes seen; after some guesses it halves. Settings that do not apply count as small.
func search(n int, target int64, size func(i int) (int64, error)) (setting, error) {
	const guesses = 8
	found := setting{at: -1}
	above := n
	var last, before *setting
	for tries := 0; above-found.at > 1; tries++ {
		i := (found.at + above) / 2
		if tries < guesses {
			i = guess(last, before, n, target)
		}
		i = min(max(i, found.at+1), above-1)
		bytes, err := size(i)
		switch {
		case errors.Is(err, errUnfit):
			found = setting{i, 0}
			continue
		case err != nil:
			return found, err
		case bytes <= target:
			found = setting{i, bytes}
		default:
			above = i
		}
		before, last = last, &setting{i, bytes}
	}
	return found, nil
}

// guess is the index whose size should be the target's: on the line through two known sizes, in proportion to
// one, or at first a quarter.
func guess(last, before *setting, n int, target int64) int {
	switch {
	case last == nil:
		return n / 4
	case before == nil || before.bytes == last.bytes:
		return int(float64(last.at+1)*float64(target)/float64(max(1, last.bytes))) - 1
	}
	slope := float64(last.bytes-before.bytes) / float64(last.at-before.at)
	return last.at + int(min(float64(n), max(float64(-n), float64(target-last.bytes)/slope)))
}
