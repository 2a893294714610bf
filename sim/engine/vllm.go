package engine

import (
	"fmt"
	"slices"
	"strings"

	"kvgauge/sim/arch"
)

// vllmBlock is the tokens of a block (CacheConfig.DEFAULT_BLOCK_SIZE).
const vllmBlock = 16

// InFlight is vLLM's default of Request.InFlight: two batches under way (asynchronous scheduling) of 8,192 tokens, that of
// its server on a GPU of 70 GiB and more.
const InFlight = 2 * 8192

// vllm reserves blocks of tokens for the longest sequence that a request may become (kv_cache_planning.py). Layers fall
// into groups with a block table each; all groups take their blocks from one pool whose blocks are as large as the largest
// group's. The figure is what the planner wants for requests of so many tokens each, without the null block.
var vllm = Engine{
	Name: "vllm", Version: "0.33.0", Repository: "vllm-project/vllm",
	Source: "vllm/v1/kv_cache_interface.py, vllm/v1/core/kv_cache_planning.py",
	Note: func(r Request) string {
		var notes []string
		if windows(r.Model) {
			notes = append(notes, fmt.Sprintf("layers with a window or chunks have room for %d tokens in flight besides (--in-flight)", r.InFlight))
		}
		if slices.ContainsFunc(r.Model.Layers, func(l arch.Layer) bool { return l.Rank > 0 || l.Index > 0 }) {
			notes = append(notes, "blocks of 16 tokens, but kernels for latents may want larger ones, of 64 or 128")
		}
		if hasState(r.Model) {
			notes = append(notes, "two blocks of states a request, for the prefix cache; kernels that export states want a third")
		}
		return strings.Join(notes, "; ")
	},
}

func init() { vllm.Bytes = vllmBytes }

// spec is what one layer caches, as the planner is told (KVCacheSpec).
type spec struct {
	kind  kind
	span  int    // of a window or chunk
	shape [3]int // KV heads, channels of a key and of a value: layers that differ are not of one group
	row   int64  // bytes of a token: the same
	page  int64  // bytes of a block
	block int    // tokens of a block
}

type kind uint8

const (
	fullAttention kind = iota
	latentAttention
	slidingWindow
	chunkedLocal
	state
)

// blocks is how many blocks a request of so many tokens may hold (max_memory_usage_bytes / page_size_bytes).
func (s spec) blocks(tokens, inFlight int) int64 {
	div := func(n int) int64 { return (int64(n) + int64(s.block) - 1) / int64(s.block) }
	switch s.kind {
	case slidingWindow:
		return div(min(s.span-1+inFlight, tokens)) + 1 // a window may begin within a block
	case chunkedLocal:
		return div(min(s.span+inFlight, tokens))
	case state:
		return vllmStates
	}
	return div(tokens)
}

// vllmBytes plans one request.
func vllmBytes(r Request, tokens int) (int64, error) {
	specs, err := vllmSpecs(r)
	if err != nil {
		return 0, err
	}
	return planned(specs, tokens, r.InFlight)
}

// vllmSpecs are those of the layers that cache anything.
func vllmSpecs(r Request) ([]spec, error) {
	var specs []spec
	for i, l := range r.Model.Layers {
		if l.From >= 0 {
			continue
		}
		index, kept := int64(0), int64(0)
		for _, t := range l.Tensors {
			switch t.Role {
			case arch.Key, arch.Value, arch.Latent, arch.Rotary:
				if t.Rows.Grow == arch.All && t.Rows.N > 0 {
					return nil, vllm.unmodelled(i, "the learned prompt")
				}
				continue
			case arch.Indexer:
				if l.Rank > 0 {
					index = vllmIndexKey(l.Index)
					continue
				}
			}
			n, ok := vllmState(r, t)
			if !ok {
				return nil, vllm.unmodelled(i, t.Name)
			}
			kept += n
		}
		if kept > 0 {
			specs = append(specs, spec{kind: state, page: kept, block: vllmBlock})
		}
		row := r.row(i)
		s := spec{block: vllmBlock, shape: [3]int{l.KVHeads, l.QKDim, l.VDim}}
		switch {
		case l.Rank > 0:
			s.kind = latentAttention
			switch bytes := int64(l.Rank + l.Rope); {
			case row == bytes && index > 0:
				if l.Rank != 512 || l.Rope != 64 {
					return nil, vllm.unmodelled(i, "an 8-bit latent of another width than 512 and 64")
				}
				row = vllmSparseLatent
			case r.Rows != nil && row != bytes:
				return nil, vllm.unmodelled(i, "a format of latents")
			}
		case l.KVHeads == 0:
			continue
		case l.Window > 0:
			s.kind, s.span = slidingWindow, l.Window
		case l.Chunk > 0:
			s.kind, s.span = chunkedLocal, l.Chunk
		}
		s.row, s.page = row, row*vllmBlock
		specs = append(specs, s)
		if index > 0 {
			specs = append(specs, spec{kind: latentAttention, page: index * vllmBlock, block: vllmBlock})
		}
	}
	return aligned(specs), nil
}

// vllmStates is how many blocks a request has for each group of states: the one that it goes on from, and one for the
// prefix cache (mamba_cache_mode align, the default).
const vllmStates = 2

// vllmState is the bytes of a state, of the families that were looked up: the convolution lacks the input that comes next,
// and the recurrence is in the model's type unless its configuration or code says otherwise.
func vllmState(r Request, t arch.Tensor) (bytes int64, ok bool) {
	recurrent := int64(4)
	switch r.Model.Type {
	case "qwen3_next":
		recurrent = int64(r.State)
	case "kimi_linear", "qwen3_5_text", "qwen3_5_moe_text":
	default:
		return 0, false
	}
	if t.Role == arch.Conv {
		return t.Row * int64(t.Rows.N-1) * int64(r.State), true
	}
	return t.Row * int64(t.Rows.N) * recurrent, true
}

// hasState says whether any layer keeps a state.
func hasState(m arch.Model) bool {
	return slices.ContainsFunc(m.Layers, func(l arch.Layer) bool {
		return slices.ContainsFunc(l.Tensors, func(t arch.Tensor) bool { return t.Rows.Grow == arch.Once })
	})
}

// aligned raises the blocks of attention until their page holds a state, and states to that page
// (_align_hybrid_block_size); of latents to whole multiples of 128 tokens.
func aligned(specs []spec) []spec {
	largest, step, token := int64(0), int64(vllmBlock), int64(0)
	for _, s := range specs {
		switch {
		case s.kind == state:
			largest = max(largest, s.page)
		case s.kind == latentAttention:
			step = 128
			fallthrough
		default:
			token = max(token, s.page/int64(s.block))
		}
	}
	if largest == 0 || token == 0 {
		return specs
	}
	block := max(vllmBlock, (largest+step*token-1)/(step*token)*step)
	for i, s := range specs {
		if s.kind == state {
			specs[i].page = block * token
		} else {
			specs[i].page = s.page / int64(s.block) * block
		}
		specs[i].block = int(block)
	}
	return specs
}

// vllmSparseLatent is fp8_ds_mla, what 8-bit latents beside an indexer are stored in: 512 E4M3 codes, four scales of four
// bytes and 64 rotary bf16.
const vllmSparseLatent = 656

// vllmIndexKey is the bytes of an indexer's key of so many channels: E4M3 codes and a scale of four bytes for each 128.
func vllmIndexKey(channels int) int64 { return int64(channels + (channels+127)/128*4) }

// planned is the bytes of the pool that one request of so many tokens takes.
func planned(specs []spec, tokens, inFlight int) (int64, error) {
	if len(specs) == 0 {
		return 0, nil
	}
	if uniform(specs) { // one group
		page, blocks := int64(0), int64(0)
		for _, s := range specs {
			page += s.page
			blocks = max(blocks, s.blocks(tokens, inFlight))
		}
		return page * blocks, nil
	}
	specs, err := unified(specs)
	if err != nil {
		return 0, err
	}
	return grouped(specs, tokens, inFlight), nil
}

// uniform says whether all layers need the same number of token slots.
func uniform(specs []spec) bool {
	first := specs[0]
	for _, s := range specs {
		full := func(k kind) bool { return k == fullAttention || k == latentAttention }
		if !(full(s.kind) && full(first.kind) || s.kind == first.kind && s.span == first.span) || s.block != first.block {
			return false
		}
	}
	return true
}

// unified gives all layers the largest page: larger blocks where it is a multiple, else a page that is not full
// (unify_kv_cache_spec_page_size).
func unified(specs []spec) ([]spec, error) {
	largest := int64(0)
	for _, s := range specs {
		largest = max(largest, s.page)
	}
	out := make([]spec, len(specs))
	for i, s := range specs {
		switch {
		case largest%s.page == 0:
			s.block *= int(largest / s.page)
		case s.kind == latentAttention:
			return nil, fmt.Errorf("vLLM 0.33.0: blocks of latents of %d bytes and others of %d: its planner refuses them", s.page, largest)
		}
		s.page = largest
		out[i] = s
	}
	return out, nil
}

// grouped splits layers of one kind into groups of as many layers as the kind with fewest has
// (_get_kv_cache_groups_uniform_page_size); groups with fewer are as large.
func grouped(specs []spec, tokens, inFlight int) int64 {
	counts := map[spec]int{}
	for _, s := range specs {
		counts[s]++
	}
	least, most := len(specs), 0
	for _, n := range counts {
		least, most = min(least, n), max(most, n)
	}
	size := least
	if 2*most < 3*least {
		size = most
	}
	total := int64(0)
	for s, n := range counts {
		groups := (n + size - 1) / size
		total += int64(groups) * s.blocks(tokens, inFlight) * int64(size) * s.page
	}
	return total
}
