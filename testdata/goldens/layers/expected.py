"""Computes what kvgauge should say of the traces beside this file, and writes it to expected.json: errors by layer, mass, late
mass, bytes, kept entries.

    python3 traces.py && python3 expected.py

needs numpy and safetensors. Tests do not run it: traces and expected.json are in the repository.

All is float64 and written from the definitions (README.md, and the papers and published code that `kvgauge list methods`
names), never from kvgauge's code or output: a figure that kvgauge does not reach is to be explained, not to be copied here.
Where scores are so close that float32 may choose otherwise the layer is listed in near_ties.
"""
import json, math
import numpy as np
from safetensors import safe_open
from traces import FOLDER, TRACES, rotate

DECODE = 16    # tokens that are decoded after the prompt
CLOSE = 1e-5   # relative distance of scores below which float32 may choose otherwise
NEVER = -np.inf

SHARING = ["mqa", "gqa", "cla"]
FORMATS = ["int8", "fp8", "q8_0:rotate=off"]
EVICTION = ["streamingllm:budget=32", "snapkv:budget=32", "pyramidkv:budget=32", "h2o:budget=32", "tova:budget=32", "knorm:budget=32",
            "keydiff:budget=32", "lagkv:budget=32,lag=16", "corm:recent=16,window=16", "expectedattention:budget=32", "oracle:budget=32",
            "chunkkv:budget=60", "quest:budget=32,dense=0,page=8"]
OF_ALL = ["streamingllm:budget=32,scope=all", "snapkv:budget=32,scope=all", "pyramidkv:budget=32,scope=all", "h2o:budget=32,scope=all",
          "tova:budget=32,scope=all", "corm:recent=16,scope=all,window=16", "oracle:budget=32,scope=all", "chunkkv:budget=60,scope=all",
          "quest:budget=32,dense=0,page=8,scope=all"]  # beside windows and chunks, which the others leave as they are
JOINED = ["streamingllm:budget=32,roll=on", "snapkv:budget=32+int8", "h2o:budget=32+fp8", "mqa+snapkv:budget=32"]


# ---- attention ----

class Layer:
    """q [tokens, q_heads, qk_dim], k and v [tokens, kv_heads, width], and how the layer attends"""

    def __init__(s, file, n, fields, own):
        names = set(file.keys())
        load = lambda part: file.get_tensor(f"layers.{n}.{part}").astype(float) if f"layers.{n}.{part}" in names else None
        field = lambda name, convert: convert(x) if (x := own.get(name, fields.get(name))) is not None else None
        s.q, s.sinks, s.alibi = load("q"), load("sinks"), load("alibi")
        s.heads, s.qk_dim = s.q.shape[1:]
        s.window, s.chunk = field("window", int), field("chunk", int)
        s.softcap, s.scale = field("softcap", float), field("scale", float) or s.qk_dim ** -.5
        theta, dims = field("rope_theta", float), field("rope_dims", int) or s.qk_dim
        s.frequencies = theta ** (-2 * np.arange(dims // 2) / dims) if theta else np.zeros(0)
        s.style = field("rope_style", str) or "neox"
        s.hold(load("k"), load("v"))

    def hold(s, k, v):
        s.k, s.v = k, v
        s.kv_heads, s.v_dim, s.group = k.shape[1], v.shape[2], s.heads // k.shape[1]
        return s

    def holding(s, k, v):
        """the layer where keys and values are others"""
        other = Layer.__new__(Layer)
        other.__dict__.update(s.__dict__)
        return other.hold(k, v)

    @property
    def shape(s):
        return s.heads, s.kv_heads, s.qk_dim, s.v_dim, s.window, s.chunk

    @property
    def local(s):
        return s.window is not None or s.chunk is not None

    def rows(s, tokens):
        """rows that full holds of a head after so many tokens"""
        return min([tokens] + [n for n in (s.window, s.chunk) if n])

    def own_bytes(s, rows):
        """f16 keys and values of so many rows of each head"""
        return 2 * rows * s.kv_heads * (s.qk_dim + s.v_dim)

    def reads(s, t, i):
        """[t, i]: whether the query of token t reads the key of token i"""
        t, i = np.asarray(t)[:, None], np.asarray(i)[None]
        seen = i <= t
        if s.window:
            seen &= i > t - s.window
        if s.chunk:
            seen &= i // s.chunk == t // s.chunk
        return seen

    def logits(s, h, t, i, keys=None):
        """[t, i] of query head h, on its keys of tokens i or on other rows that stand for these"""
        keys = s.k[i, h // s.group] if keys is None else keys
        x = s.scale * s.q[t, h] @ keys.T
        if s.softcap:
            x = s.softcap * np.tanh(x / s.softcap)
        if s.alibi is not None:
            x = x + s.alibi[h] * (np.asarray(i)[None] - np.asarray(t)[:, None])
        return np.where(s.reads(t, i), x, NEVER)

    def softmax(s, h, x, sinks=True):
        """probabilities of rows of logits; the sink joins the denominator. A row with nothing to read is zero."""
        sink = s.sinks[h] if sinks and s.sinks is not None else NEVER
        top = np.maximum(x.max(axis=1), sink)
        top = np.where(np.isfinite(top), top, 0)
        e = np.exp(x - top[:, None])
        total = e.sum(axis=1) + np.exp(sink - top)
        return e / np.where(total > 0, total, 1)[:, None]

    def attention(s, h, t, i, sinks=True):
        """probabilities [t, i] of query head h on the layer's own keys"""
        return s.softmax(h, s.logits(h, t, i), sinks)

    def queries_of(s, g):
        """the query heads that read KV head g"""
        return range(g * s.group, (g + 1) * s.group)


class Trace:
    def __init__(s, name):
        with safe_open(FOLDER / f"{name}.safetensors", "numpy") as file:
            fields = dict(file.metadata())
            own = json.loads(fields.pop("layers"))
            s.layers = [Layer(file, n, fields, own.get(str(n), {})) for n in range(len(own))]
        s.tokens = len(s.layers[0].k)
        s.prompt = s.tokens - DECODE
        s.references = [Reference(l, s.prompt) for l in s.layers]


class Reference:
    """the outputs of the decoded tokens of a layer, what of them lies on which key, and which keys are minor"""

    def __init__(s, l, prompt):
        tokens = len(l.k)
        t, i = np.arange(prompt, tokens), np.arange(tokens)
        s.seen = l.reads(t, i)
        s.out = np.stack([l.attention(h, t, i) @ l.v[:, h // l.group] for h in range(l.heads)])  # [heads, steps, v_dim]
        s.share = np.stack([l.attention(h, t, i, sinks=False) for h in range(l.heads)])          # of what lies on keys
        s.minor = np.zeros((l.heads, tokens), bool)
        late = np.arange(prompt - min(256, prompt // 4), prompt)
        seen = l.reads(late, np.arange(prompt))
        for h in range(l.heads):  # none of the prompt's last quarter gives them as much as an equal share of what it reads
            x = l.attention(h, late, np.arange(prompt), sinks=False) * seen.sum(axis=1)[:, None]
            x = np.where(x == 1, 1.1, x)  # an only key is not in doubt
            judged = [((x >= 1 - 1e-6 + doubt) & seen).any(axis=0) for doubt in (-2e-5, 0, 2e-5)]
            assert (judged[0] == judged[2]).all(), "late mass hangs on float32: choose other traces"
            s.minor[h, :prompt] = ~judged[1]


# ---- formats: what a row reads back as, and the bytes that it takes ----

def f16(x):
    return x.astype(np.float32).astype(np.float16).astype(float)


def fp8(x):
    """the nearest e4m3 number, ties to even"""
    grid = np.array([m * 2.0 ** -9 for m in range(8)] + [(8 + m) * 2.0 ** (e - 10) for e in range(1, 16) for m in range(8)][:-1])
    a = np.minimum(np.abs(x), grid[-1])
    above = np.searchsorted(grid, a)
    below = np.maximum(above - 1, 0)
    down, up = a - grid[below], grid[above] - a
    return np.sign(x) * grid[np.where((down < up) | ((down == up) & (below % 2 == 0)), below, above)]


def scaled(x, nearest, inverse=False):
    """127 steps either way of the largest of the last axis, in float32 as a store computes them, with an f16 scale; ggml
    multiplies by the inverse of a step (quantize_row_q8_0_ref)"""
    x = x.astype(np.float32)
    step = np.abs(x).max(axis=-1, keepdims=True) / np.float32(127)
    if inverse:
        return nearest(x * np.divide(np.float32(1), step, out=np.zeros_like(step), where=step > 0)).astype(float) * f16(step)
    return nearest(np.divide(x, step, out=np.zeros_like(x), where=step > 0)).astype(float) * f16(step)


def away_from_zero(x):
    return np.sign(x) * np.floor(np.abs(x.astype(float)) + .5)


STORED = {  # format: rows as they read back, bytes of one of a width
    "f16": (f16, lambda width: 2 * width),
    "fp8": (lambda x: fp8(x.astype(np.float32).astype(float)), lambda width: width),
    "int8": (lambda x: scaled(x, np.rint), lambda width: width + 2),
    "q8_0": (lambda x: scaled(x.reshape(*x.shape[:-1], -1, 32), away_from_zero, inverse=True).reshape(x.shape), lambda width: width + width // 16),
}


# ---- what methods keep of a prompt ----

def highest(scores, k):
    """indices of the k highest, ascending; of equal ones those of lower tokens"""
    return np.sort(np.argsort(-np.asarray(scores), kind="stable")[:k])


def margin(scores, kept):
    """relative distance between the lowest kept and the highest dropped score; equal ones are ruled, so not close"""
    chosen = np.zeros(len(scores), bool)
    chosen[kept] = True
    if chosen.all() or not chosen.any():
        return np.inf
    low, high = np.min(scores[chosen]), np.max(scores[~chosen])
    if low == high or not np.isfinite(low) or not np.isfinite(high):
        return np.inf
    return abs(low - high) / max(abs(low), abs(high))


class Case:
    """a method with its parameters on a layer, whose keys and values are those that stages before it leave"""

    def __init__(s, l, params, prompt, place, of):
        s.l, s.params, s.prompt, s.tokens = l, params, prompt, len(l.k)
        s.place, s.of = place, of  # among the layers that the method may change
        s.t = np.arange(prompt)
        s.budget = int(params.get("budget", 0))
        s.margin = np.inf          # the smallest of all choices

    def choose(s, scores, k):
        kept = highest(scores, k)
        s.margin = min(s.margin, margin(np.asarray(scores), kept))
        return kept

    def by_head(s, score):
        return [s.choose(score(g), s.budget) for g in range(s.l.kv_heads)]

    def mean_attention(s, g, t):
        """[t, prompt] mean over the query heads of a KV head"""
        return np.mean([s.l.attention(h, t, s.t) for h in s.l.queries_of(g)], axis=0)


def streamingllm(c):
    return [np.r_[:4, c.prompt - c.budget + 4:c.prompt]] * c.l.kv_heads


def observed(c):
    """SnapKV's scores of what is before the last 8 tokens, by head: sums of attention, the largest of 7 neighbours"""
    first = c.prompt - 8
    for g in range(c.l.kv_heads):
        sums = c.mean_attention(g, np.arange(first, c.prompt))[:, :first].sum(axis=0)
        padded = np.pad(sums, 3, constant_values=NEVER)
        yield np.lib.stride_tricks.sliding_window_view(padded, 7).max(axis=1)


def with_window(c, n):
    return [np.r_[c.choose(x, n), c.prompt - 8:c.prompt] for x in observed(c)]


def snapkv(c):
    return with_window(c, c.budget - 8)


def pyramidkv(c):
    """the published code's schedule with beta 20, over the layers that may change"""
    base = c.budget - 8
    if c.prompt < 2 * base or c.of == 1:
        return with_window(c, base)
    low = base // 20
    high = min(2 * base - low, c.prompt - 8)
    low = 2 * base - high
    return with_window(c, high - c.place * ((high - low) // (c.of - 1)))


def chunkkv(c):
    """kvpress: whole chunks of 20 tokens, by the mean of scores summed over heads; the window's lie above all"""
    scores = [x / 8 for x in observed(c)]
    top = max(x.max() for x in scores) + 1
    total = np.sum([np.r_[x, np.full(8, top)] for x in scores], axis=0)
    starts = range(0, c.prompt, 20)
    chosen = c.choose([total[a:a + 20].mean() for a in starts], max(1, c.budget * len(starts) // c.prompt))
    return [np.concatenate([c.t[a * 20:a * 20 + 20] for a in chosen])] * c.l.kv_heads


def column_sums(c, g):
    return c.mean_attention(g, c.t).sum(axis=0)


def h2o(c):
    recent = c.budget - c.budget // 2
    return [np.r_[c.choose(column_sums(c, g)[:-recent], c.budget - recent), c.prompt - recent:c.prompt] for g in range(c.l.kv_heads)]


def tova(c):
    last = np.mean([c.l.attention(h, [c.prompt - 1], c.t)[0] for h in range(c.l.heads)], axis=0)
    return [c.choose(last, c.budget)] * c.l.kv_heads


def knorm(c):
    return c.by_head(lambda g: -(c.l.k[:c.prompt, g] ** 2).sum(axis=1))


def keydiff(c):
    def score(g):
        k = c.l.k[:c.prompt, g]
        norms = np.linalg.norm(k, axis=1)
        anchor = (k / norms[:, None]).mean(axis=0)
        return -(k @ anchor) / (norms * np.linalg.norm(anchor))
    return c.by_head(score)


def lagkv(c):
    """after 4 sinks, parts of `lag` tokens are ranked by how far they lie from the range of the next; the rest is kept first"""
    lag = int(c.params["lag"])

    def spread(x, a):
        after = x[a + lag:a + 2 * lag]
        y = (x[a:a + lag] - after.min(axis=0)) / (after.max(axis=0) - after.min(axis=0))
        e = y.std(axis=1, ddof=1)
        e = np.exp(e - e.max())
        return e / e.sum()

    def score(g):
        s = np.ones(c.prompt)
        for a in range(4, 4 + ((c.prompt - 4) // lag - 1) * lag, lag):
            both = spread(c.l.k[:c.prompt, g], a) + spread(c.l.v[:c.prompt, g], a)
            order = np.argsort(both, kind="stable")
            gaps = np.diff(both[order]) / both[order][1:]
            c.margin = min(c.margin, gaps.min())
            s[a:a + lag][order] = np.arange(lag) / lag
        return s
    return c.by_head(score)


def expectedattention(c):
    """the expectation of exp(logit) of the next 512 queries, were they Gaussian, times the norm of the value; sinks first"""
    l, pairs = c.l, np.arange(len(c.l.frequencies))
    a, b = (pairs, pairs + len(pairs)) if l.style == "neox" else (2 * pairs, 2 * pairs + 1)
    ahead = np.outer(c.prompt + np.arange(512), l.frequencies)
    turn = np.eye(l.qk_dim)
    turn[a, a] = turn[b, b] = np.cos(ahead).mean(axis=0)
    turn[b, a] = np.sin(ahead).mean(axis=0)
    turn[a, b] = -turn[b, a]
    rest = np.arange(4, c.prompt)

    def attention(h):
        q = rotate(l.q[rest], -np.outer(rest, l.frequencies), l.style)[:, h]
        mean, k = turn @ q.mean(axis=0), l.k[rest, h // l.group]
        spread = turn @ np.cov(q.T, bias=True) @ turn.T
        z = l.scale * k @ mean + l.scale ** 2 / 2 * np.einsum("id,de,ie->i", k, spread, k)
        e = np.exp(z - z.max())
        return e / e.sum()

    def score(g):
        return np.r_[np.full(4, np.inf), np.mean([attention(h) for h in l.queries_of(g)], axis=0) * np.linalg.norm(l.v[rest, g], axis=1)]
    return c.by_head(score)


def oracle(c):
    """what the decoded tokens' queries will give most of their mass"""
    t, i = np.arange(c.prompt, c.tokens), np.arange(c.tokens)
    return c.by_head(lambda g: sum(c.l.attention(h, t, i, sinks=False).sum(axis=0) for h in c.l.queries_of(g))[:c.prompt])


def votes(c, attention, t):
    """CORM: which keys some query head of token t gives as much as an equal share of all tokens so far"""
    x = np.max(attention, axis=0) * (t + 1)
    c.margin = min(c.margin, np.abs(x - 1).min())
    return x >= 1 - 1e-6


def last_votes(c):
    """[kv_heads][prompt] 1 + the last token of the window that votes for a key"""
    late = np.arange(c.prompt - int(c.params["window"]), c.prompt)
    for g in range(c.l.kv_heads):
        last = np.zeros(c.tokens, int)
        attention = [c.l.attention(h, late, c.t) for h in c.l.queries_of(g)]
        for n, t in enumerate(late):
            last[:c.prompt][votes(c, [x[n] for x in attention], t)] = t + 1
        yield last


def corm(c):
    return [np.flatnonzero((x[:c.prompt] > 0) | (c.t >= c.prompt - int(c.params["recent"]))) for x in last_votes(c)]


KEEPS = {f.__name__: f for f in (streamingllm, snapkv, pyramidkv, chunkkv, h2o, tova, knorm, keydiff, lagkv, expectedattention, oracle, corm)}


# ---- what they hold while decoding: [step][kv_head] positions that a step may read, and those after the last ----

def grown(c, kept, limit=10 ** 9):
    held, now = [], kept
    for t in range(c.prompt, c.tokens):
        now = [np.append(x, t)[-limit:] for x in now]
        held.append(now)
    return held, now


def decode_streamingllm(c, now, _):
    held = []
    for t in range(c.prompt, c.tokens):
        now = [np.append(x if len(x) < c.budget else np.delete(x, 4), t) for x in now]
        held.append(now)
    return held, now


def decode_tova(c, now, attention):
    held = []
    for t in range(c.prompt, c.tokens):
        now = [np.append(x, t) for x in now]
        held.append(now)
        kept = c.choose(np.mean([attention(h, t, now[0]) for h in range(c.l.heads)], axis=0), c.budget)
        now = [x[kept] for x in now]
    return held, now


def decode_h2o(c, now, attention):
    held, recent = [], c.budget - c.budget // 2
    sums = [np.r_[column_sums(c, g), np.zeros(DECODE)] for g in range(c.l.kv_heads)]
    for t in range(c.prompt, c.tokens):
        now = [np.append(x, t) for x in now]
        held.append(now)
        for g, x in enumerate(now):
            sums[g][x] += np.mean([attention(h, t, x) for h in c.l.queries_of(g)], axis=0)
        now = [np.r_[old[c.choose(sums[g][old], c.budget - recent)], t + 1 - recent:t + 1]
               for g, old in enumerate(x[x < t + 1 - recent] for x in now)]
    return held, now


def decode_corm(c, now, attention):
    held, last = [], list(last_votes(c))
    window, recent = int(c.params["window"]), int(c.params["recent"])
    for t in range(c.prompt, c.tokens):
        now = [np.append(x, t) for x in now]
        held.append(now)
        for g, x in enumerate(now):
            last[g][x[votes(c, [attention(h, t, x) for h in c.l.queries_of(g)], t)]] = t + 1
        now = [x[(last[g][x] > t + 1 - window) | (x >= t + 1 - recent)] for g, x in enumerate(now)]
    return held, now


DECODES = {"streamingllm": decode_streamingllm, "tova": decode_tova, "h2o": decode_h2o, "corm": decode_corm}


def quest_reads(c, h, t, keys):
    """what quest reads of all tokens so far: pages by the largest product that a key between their bounds could have"""
    page, q, k = int(c.params["page"]), c.l.q[t, h], keys[:t + 1, h // c.l.group]
    starts = range(0, t + 1, page)
    bounds = [np.maximum(q * k[a:a + page].min(axis=0), q * k[a:a + page].max(axis=0)).sum() for a in starts]
    chosen = c.choose(bounds, max(3, c.budget // page))
    return np.concatenate([np.arange(a * page, min((a + 1) * page, t + 1)) for a in chosen])


# ---- a pipeline ----

def parsed(pipeline):
    for stage in pipeline.split("+"):
        method, _, rest = stage.partition(":")
        yield method, dict(p.split("=") for p in rest.split(",")) if rest else {}


def cla_groups(layers):
    """pairs from the end on; layers that are not alike stay alone"""
    first = len(layers) % 2
    pairs = [[n, n + 1] for n in range(first, len(layers), 2)]
    for group in [[0]] * first + pairs:
        alike = len({layers[n].shape for n in group}) == 1
        yield from [group] if alike else ([n] for n in group)


class Cell:
    """a pipeline on a trace"""

    def __init__(s, trace, pipeline):
        s.trace, s.pipeline = trace, pipeline
        s.method, s.params, s.format, s.heads, s.cla = "", {}, "f16", None, False
        for method, params in parsed(pipeline):
            if method in KEEPS or method == "quest":
                s.method, s.params = method, params
            elif method in STORED:
                s.format = method
            elif method in ("mqa", "gqa"):
                s.heads = {"mqa": lambda n: 1, "gqa": lambda n: max(d for d in range(1, max(2, n)) if n % d == 0)}[method]
            s.cla |= method == "cla"
        s.changeable = [n for n, l in enumerate(trace.layers) if s.method and (s.params.get("scope") == "all" or not l.local)]
        s.groups = list(cla_groups(trace.layers)) if s.cla else [[n] for n in range(len(trace.layers))]
        s.bytes = np.zeros(DECODE, int)  # at each step
        s.after_prompt = s.final = s.peak = s.changed = 0
        s.errors, s.mass, s.late, s.kept, s.near_ties = {}, [], [], {}, []

    def applies(s):
        layers = s.trace.layers
        if s.format == "q8_0" and any(w % 32 for l in layers for w in (l.qk_dim, l.v_dim)):
            return False
        if s.pipeline == "gqa" and any(s.heads(l.kv_heads) == 1 for l in layers):  # mqa would be the same
            return False
        if (s.method == "expectedattention" or "roll" in s.params) and not any(len(l.frequencies) for l in layers):
            return False
        return not s.cla or any(len(g) > 1 for g in s.groups)

    def pooled(s, l):
        """the layer with means of neighbouring heads"""
        n = s.heads(l.kv_heads)
        return l.holding(*(x.reshape(len(x), n, -1, x.shape[2]).mean(axis=2) for x in (l.k, l.v)))

    def run(s):
        for group in s.groups:
            s.run_group(group)
        once = 8 if s.method == "streamingllm" else 0
        result = dict(trace=None, pipeline=s.pipeline, rel_l2_layers=[s.errors[n] for n in sorted(s.errors)])
        if s.method:
            result |= dict(mass=np.concatenate(s.mass).mean(), late_mass=np.concatenate(s.late).mean())
        return result | dict(
            cache_bytes=s.final + once, cache_bytes_full=sum(l.own_bytes(l.rows(s.trace.tokens)) for l in s.trace.layers),
            peak_bytes=max(s.peak, s.bytes.max()) + once, changed_layers=s.changed,
            kept=[[spans(x) for x in s.kept[n]] for n in sorted(s.kept)], near_ties=s.near_ties)

    def run_group(s, group):
        own = s.trace.layers[group[0]]
        l = s.pooled(own) if s.heads else own
        touched = group[0] in s.changeable
        c = Case(l, s.params, s.trace.prompt, s.changeable.index(group[0]) if touched else 0, len(s.changeable))
        read_back, row_bytes = STORED[s.format]
        keys, values = read_back(l.k), read_back(l.v)
        kept, held, final = s.entries(c, touched, keys)
        s.count(c, own, touched, row_bytes(l.qk_dim) + row_bytes(l.v_dim), kept, held, final)
        for n in group:
            s.kept[n] = kept
            s.compare(n, c, s.trace.layers[n].holding(l.k, l.v), touched, keys, values, held)
        if c.margin < CLOSE:
            s.near_ties += group
        if touched or s.format != "f16" or len(group) > 1 or l.kv_heads != own.kv_heads:
            s.changed += len(group)

    def entries(s, c, touched, keys):
        """the positions that each head holds after the prompt, may read at each step, and holds at the end"""
        if not touched and c.l.local:
            kept = [c.t[-c.l.rows(c.prompt):]] * c.l.kv_heads
            return kept, *grown(c, kept, c.l.rows(c.tokens))
        if not touched or s.method == "quest":
            kept = [c.t] * c.l.kv_heads
            return kept, *grown(c, kept)
        kept = KEEPS[s.method](c)

        def attention(h, t, i):
            return c.l.softmax(h, c.l.logits(h, [t], i, keys[i, h // c.l.group]))[0]
        return kept, *(DECODES[s.method](c, kept, attention) if s.method in DECODES else grown(c, kept))

    def count(s, c, own, touched, entry, kept, held, final):
        index = 0
        if touched and s.method in ("h2o", "corm"):
            entry += 4  # a score or a vote of each entry
        if touched and s.method == "quest":
            index = 4 * c.l.qk_dim  # the bounds of a page

        def size(heads):
            return sum(len(x) * entry + (-(-len(x) // int(s.params["page"])) * index if index else 0) for x in heads)
        s.peak = max(s.peak, s.after_prompt + own.own_bytes(c.prompt))
        s.after_prompt += size(kept)
        s.bytes += [size(heads) for heads in held]
        s.final += size(final)

    def compare(s, n, c, l, touched, keys, values, held):
        """the error of a layer, and the mass of what its queries read"""
        ref, paged = s.trace.references[n], touched and s.method == "quest" and str(n) not in s.params["dense"].split("/")
        diff = norm = 0
        for h in range(l.heads):
            g = h // l.group
            for step, t in enumerate(range(c.prompt, c.tokens)):
                pos = quest_reads(c, h, t, keys) if paged else held[step][g]
                rows = s.rolled(l, keys[pos, g], pos, t) if touched and s.params.get("roll") == "on" else keys[pos, g]
                out = l.softmax(h, l.logits(h, [t], pos, rows))[0] @ values[pos, g]
                want = ref.out[h, step]
                diff, norm = diff + ((out - want) ** 2).sum(), norm + (want ** 2).sum()
                read = np.zeros(c.tokens, bool)
                read[pos] = True
                read &= ref.seen[step]
                s.mass.append([ref.share[h, step] @ read])
                s.late.append([ref.share[h, step] @ (ref.minor[h] & ~read)])
        s.errors[n] = math.sqrt(diff / norm)

    def rolled(s, l, rows, pos, t):
        """StreamingLLM's own positions: sinks stand right before the recent entries"""
        away = t - (len(pos) - 1)
        return np.r_[rotate(rows[:4, None], away * np.tile(l.frequencies, (4, 1)), l.style)[:, 0], rows[4:]]


def spans(positions):
    """positions as text: 0-3 80 92-95"""
    parts = np.split(positions, np.flatnonzero(np.diff(positions) != 1) + 1)
    return " ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)


def line(cell):
    plain = lambda x: float(f"{x:.10g}") if isinstance(x, float) else [plain(y) for y in x] if isinstance(x, list) else x
    return json.dumps({k: plain(v.item() if isinstance(v, np.generic) else v) for k, v in cell.items() if not (k == "near_ties" and not v)})


if __name__ == "__main__":
    lines = []
    for name in TRACES:
        trace = Trace(name)
        pipelines = ["full"] + SHARING + FORMATS + EVICTION + JOINED + (OF_ALL if any(l.local for l in trace.layers) else [])
        cells = [Cell(trace, p) for p in pipelines]
        lines += [line(c.run() | dict(trace=name)) for c in cells if c.applies()]
    (FOLDER / "expected.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
