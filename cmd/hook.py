#!/usr/bin/env python3
"""Captures a trace of a Hugging Face model's attention, for kvgauge: queries, keys and values of each layer after the rotary
embedding and before heads are repeated, what attention makes of them, and what it puts out, for one text.

  kvgauge trace hook > hook.py
  python hook.py --model Qwen/Qwen3-0.6B --text article.txt --tokens 2048 --out qwen3.safetensors
  kvgauge trace info qwen3.safetensors

It needs numpy, safetensors, torch and transformers (tried: 4.57 and 5.24). The model runs as it does with
attn_implementation="eager", on one sequence. The program watches the functions that apply attention and rotary embeddings,
the cache and the projections, and takes everything from what these are handed and give back: it knows no model. What it cannot
see it says on stderr, and it writes nothing that it has not held against the model's own outputs.

Of a model that is in memory: import hook; hook.capture(model, token_ids, "out.safetensors").
"""

import argparse
import contextlib
import hashlib
import inspect
import json
import math
import os
import re
import struct
import sys

import numpy as np
import torch
import transformers

ROWS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}  # what a trace may hold
REFUSED = 0.005  # outputs that attention over the trace misses by more, as a share, are refused
BLOCK_BYTES = 1 << 28  # of the logits that are in memory at a time
ATTENTION, SDPA = "eager_attention_forward", "scaled_dot_product_attention"  # the functions that apply attention


class Refusal(Exception):
    """Why there is no trace, in one line."""


def say(text):
    print("hook: " + text, file=sys.stderr, flush=True)


# --- the file -----------------------------------------------------------------------------------------------------------


class TraceFile:
    """A safetensors file that is written as tensors come, under a name of its own until it is whole. Room for the header
    is left in front; spaces, which the format allows, fill what it does not need."""

    def __init__(self, path, room):
        self.path, self.part = path, f"{path}.{os.getpid()}.part"
        self.room = -(-room // 8) * 8
        self.tensors, self.at = {}, 0
        self.file = open(self.part, "wb")
        self.file.seek(8 + self.room)

    def add(self, name, tensor, dtype):
        if not torch.isfinite(tensor).all():
            raise Refusal(f"tensor {name}: not all of its numbers are finite")
        code = {torch.int32: "I32", **{t: n for n, t in ROWS.items()}}[dtype]
        rows = tensor.detach().to("cpu").to(dtype).contiguous()
        if not torch.isfinite(rows).all():
            raise Refusal(f"tensor {name}: numbers beyond {code}, want --dtype BF16 or F32")
        data = rows.reshape(-1).view(torch.uint8).numpy().data
        self.file.write(data)
        self.tensors[name] = {"dtype": code, "shape": list(rows.shape), "data_offsets": [self.at, self.at + len(data)]}
        self.at += len(data)

    def finish(self, meta):
        header = json.dumps({"__metadata__": meta, **self.tensors}).encode()
        if len(header) > self.room:  # of more tensors than there was room for: once more, behind a longer header
            self.file.close()
            short, self.part, self.room = self.part, self.part + "2", -(-len(header) // 8) * 8
            with open(short, "rb") as old:
                self.file = open(self.part, "wb")
                self.file.seek(8 + self.room)
                old.seek(-self.at, os.SEEK_END)
                while block := old.read(1 << 20):
                    self.file.write(block)
            os.remove(short)
        self.file.seek(0)
        self.file.write(struct.pack("<Q", self.room) + header.ljust(self.room))
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self.part, self.path)

    def drop(self):
        self.file.close()
        for part in (self.part, self.part + "2"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(part)


# --- what a mask lets a query read ---------------------------------------------------------------------------------------


class Sight:
    """What the queries of T tokens may read: window, chunk (0: none), and the mask's numbers where it has some."""

    def __init__(self, mask, tokens):
        self.visible, self.window, self.chunk, self.alibi = None, 0, 0, None
        if mask is None:
            return
        if mask.shape[0] != 1 or mask.shape[-2] != tokens or mask.shape[-1] < tokens:
            raise Refusal(f"a mask of shape {list(mask.shape)}, want [1, heads, {tokens}, {tokens}]")
        mask = mask[0, :, :, :tokens]
        seen = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        if not (seen == seen[:1]).all():
            raise Refusal("a mask that differs between heads")
        self.visible = seen[0]
        rows = torch.arange(tokens, device=mask.device)
        bits = self.visible.to(torch.uint8)
        count, first, last = bits.sum(-1), bits.argmax(-1), tokens - 1 - bits.flip(-1).argmax(-1)
        if (last > rows).any():
            raise Refusal("a query reads keys of later tokens")
        if not (count == rows - first + 1).all():
            raise Refusal("the mask lets a query read some of the keys before it: a trace says windows and chunks, not keys that are selected")
        if first.any():
            window, chunk = int(count.max()), int(first[first > 0][0])
            if (first == (rows - window + 1).clamp(min=0)).all():
                self.window = window
            elif (first == rows - rows % chunk).all():
                self.chunk = chunk
            else:
                raise Refusal("the mask is that of no window and of no chunk")
        if mask.dtype != torch.bool and mask.masked_fill(~self.visible, 0).any():
            self.alibi = slopes(mask.double(), self.visible)


def slopes(mask, visible):
    """The slopes of an ALiBi that a mask [heads, T, T] adds; None where it adds the same to all keys of a query."""
    steps = (mask[:, :, 1:] - mask[:, :, :-1]).masked_fill(~(visible[:, 1:] & visible[:, :-1]), 0)
    if steps.abs().max() < 1e-6 * mask.masked_fill(~visible, 0).abs().max():
        return None
    of = steps[:, -1, -1]  # of the last token's last two keys
    want = of[:, None, None] * (visible[:, 1:] & visible[:, :-1])
    if (steps - want).abs().max() > 1e-2 * of.abs().max():
        raise Refusal("the mask adds to the logits what is no ALiBi")
    n = mask.shape[-1]  # steps are rounded, their sum less so
    return torch.stack([(m[-1][visible[-1]][-1] - m[-1][visible[-1]][0]) / (visible[-1].sum() - 1) for m in mask]) if n > 2 else of


# --- what attention makes of the products --------------------------------------------------------------------------------


def floats(*of):
    """The numbers that objects and dictionaries hold under names."""
    for o in of:
        for name, x in (o if isinstance(o, dict) else vars(o)).items():
            if isinstance(x, (float, int)) and not isinstance(x, bool) and x > 0:
                yield name, float(x)


def vectors(heads, *of):
    """The tensors that may be sinks: a number for each head, under a name that says so."""
    for o in of:
        for name, x in o.items():
            if isinstance(x, torch.Tensor) and x.numel() == heads and re.search("sink|s_aux", name):
                yield name, x.detach().double().flatten().cpu().numpy()


class Logits:
    """Scale, soft cap and sinks, measured: the attention function is handed two keys of which one is known to have the logit
    0, and what it gives the values shows the other's, and what is missing from their sum. Numbers that were handed or that
    the module has are taken where they say the same exactly."""

    def __init__(self, call, module, kwargs, q, k, v):
        heads, width = q.shape[1], q.shape[3]
        self.scale, self.softcap, self.sinks, self.measured = None, None, None, True
        config = getattr(module, "config", None)
        near = [kwargs.get("scaling"), getattr(module, "scaling", None), width**-0.5]
        near = [float(s) for s in near if isinstance(s, (int, float)) and s > 0]
        sinks = list(vectors(heads, kwargs, dict(module.named_parameters()), dict(module.named_buffers())))
        try:
            small, large = (self.logit(call, q, k, v, x / near[0]) for x in (0.5, 8.0))
        except Exception as e:  # it wants what only the whole text has
            self.scale, self.measured = near[0], False
            self.softcap = kwargs.get("softcap")
            self.sinks = sinks[0][1] if sinks else None
            say(f"{type(module).__name__}: attention of two keys alone fails ({type(e).__name__}): scale and soft cap are as they were handed")
            return
        logits = np.array([small[0], large[0]])
        if np.ptp(logits, axis=1).max() > 1e-3 * logits.max():
            raise Refusal("the scale of the logits differs between heads")
        near += [x for _, x in floats(kwargs, module)]
        caps = [x for _, x in floats(kwargs, module, getattr(config, "__dict__", {}))]
        self.fit(logits.mean(1), near, caps, near[0])
        lost = small[1]
        for _, s in sinks:
            if np.abs(np.exp(s) / (1 + np.exp(small[0]) + np.exp(s)) - lost).max() < 1e-5:
                self.sinks = s
        if self.sinks is None and lost.max() > 1e-5:
            if lost.min() < 1e-5:
                raise Refusal("the sinks of some heads are too small to be measured")
            self.sinks = np.log(lost / (1 - lost)) + np.log(1 + np.exp(small[0]))

    @staticmethod
    def logit(call, q, k, v, x):
        """The logit of a query and a key whose product is x, of each head, and the share of the softmax that no value has."""
        def zeros(like, rows):
            return torch.zeros(1, like.shape[1], rows, like.shape[3], dtype=torch.float32, device=like.device)
        query, keys, values = zeros(q, 1), zeros(k, 2), zeros(v, 2)
        query[..., 0], keys[:, :, 1, 0] = 1, x
        values[:, :, 0, 0] = values[:, :, 1, 1] = 1
        o = call(query, keys, values, torch.zeros(1, 1, 1, 2, device=q.device))
        p = o.reshape(q.shape[1], v.shape[3])[:, :2].double().cpu().numpy()
        return np.log(p[:, 1] / p[:, 0]), np.maximum(1 - p.sum(1), 0)

    def fit(self, logits, scales, caps, near):
        """Finds scale and soft cap of the logits of 0.5/near and 8/near, among numbers that are known if one will do."""
        x = np.array([0.5, 8.0]) / near
        def miss(scale, cap):
            return np.abs((cap * np.tanh(scale * x / cap) if cap else scale * x) / logits - 1).max()
        for cap in [None, *caps]:
            for scale in scales:
                if miss(scale, cap) < 1e-5:
                    self.scale, self.softcap = scale, cap
                    return
        if abs(logits[1] / logits[0] / 16 - 1) < 1e-5:
            self.scale = float(logits[1] / x[1])
            return
        lo, hi = math.log(logits[1] * 1.0001), math.log(1e6)
        for _ in range(100):  # the larger the cap, the less the larger logit falls behind
            cap = math.exp((lo + hi) / 2)
            scale = cap / x[0] * math.atanh(logits[0] / cap)
            lo, hi = (lo, (lo + hi) / 2) if cap * math.tanh(scale * x[1] / cap) > logits[1] else ((lo + hi) / 2, hi)
        self.scale, self.softcap = scale, cap
        if miss(scale, cap) > 1e-4:
            raise Refusal("attention makes of the products what is neither a scale nor a soft cap")


# --- rotary embeddings ---------------------------------------------------------------------------------------------------


class Rope:
    """The rotary embedding that turned rows x into rows y, both [tokens, heads, channels]: measured, from what was turned."""

    def __init__(self, pairs, widths, tolerance):
        x = torch.cat([p[0][:, :4] for p in pairs], 1).double().cpu().numpy()
        y = torch.cat([p[1][:, :4] for p in pairs], 1).double().cpu().numpy()
        changed = np.flatnonzero(np.abs(x - y).max((0, 1)))
        self.none = len(changed) == 0
        if self.none:
            return
        best = None
        width = x.shape[2]
        for dims in dict.fromkeys(d for d in [*widths, changed[-1] + 1, width] if changed[-1] < d <= width and d % 2 == 0):
            for before, after in (("neox", "neox"), ("gptj", "gptj"), ("gptj", "neox")):
                freq, factor, miss = self.measure(x[..., :dims], y[..., :dims], before, after)
                if best is None or miss < 0.5 * best[0]:  # the first of those that do as well
                    best = miss, dims, after, freq, factor
        self.miss, self.dims, self.style, self.freq, self.factor = best
        if self.miss > tolerance:
            raise Refusal(f"the rotary embedding turns no pairs of channels by angles that grow with the position (misses by {self.miss:.1%})")

    @staticmethod
    def halves(x, style):
        n = x.shape[-1] // 2
        return x[..., :n] + 1j * x[..., n:] if style == "neox" else x[..., 0::2] + 1j * x[..., 1::2]

    def measure(self, x, y, before, after):
        """Angles a position, the factor of the length, and how far they are from what was done, as a share."""
        a, b = self.halves(x, before), self.halves(y, after)
        turn = (b * a.conj()).sum(1)  # [tokens, pairs], the direction of the rotation, weighted
        freq, step, n = np.zeros(turn.shape[1]), 1, len(turn)
        while step < n:  # each doubling measures the angle twice as exactly
            freq += np.angle((turn[step:] * turn[:-step].conj()).sum(0) * np.exp(-1j * step * freq)) / step
            step *= 2
        rotated = a * np.exp(1j * np.arange(n)[:, None] * freq)[:, None, :]
        factor = (b * rotated.conj()).sum().real / (np.abs(a) ** 2).sum()
        return freq, factor, math.sqrt((np.abs(b - factor * rotated) ** 2).sum() / (np.abs(b) ** 2).sum())

    def settle(self, module_values, thetas, factors, exact):
        """Puts numbers that the model has in the place of measured ones, where they say the same. theta None: the
        frequencies do not follow from one."""
        near = 1e-4 if exact else 3e-3
        self.factor = min([1.0, *factors], key=lambda f: abs(f - self.factor)) if any(abs(f - self.factor) < near for f in [1.0, *factors]) else self.factor
        def off(freq):
            return np.abs(np.asarray(freq, float) - self.freq).max() * self.n if len(freq) == len(self.freq) else math.inf
        known = min(module_values, key=off, default=None)
        if known is not None and off(known) < (0.02 if exact else 0.2):
            self.freq = np.asarray(known, float)
        powers = -2 * np.arange(len(self.freq)) / self.dims
        self.follows = False
        for theta in [*thetas, 10000.0]:
            want = theta**powers
            if np.abs(self.freq - want).max() * self.n < (1e-3 if known is None else 1e-6) or np.allclose(self.freq, want, rtol=1e-5, atol=0):
                self.theta, self.follows = theta, True
                return
        high = next((p for p in range(1, len(self.freq)) if self.freq[p] > 0), None)
        guess = self.freq[high] ** (1 / powers[high]) if high else 10000.0
        self.theta = min(thetas, key=lambda t: abs(math.log(t / guess)), default=guess)


# --- watching ------------------------------------------------------------------------------------------------------------


def is_rotary(module):
    return re.search("rotary|rope", type(module).__name__, re.I) is not None


def arranged(x, tokens):
    """Rows of one sequence as [tokens, heads, channels], in the ways that the shape allows."""
    if x.dim() == 3:
        x = x[None] if x.shape[0] != 1 or tokens in x.shape[:2] and x.shape[0] != 1 else x[:, None]
    if x.dim() != 4 or x.shape[0] != 1:
        return []
    return ([x[0].transpose(0, 1)] if x.shape[2] == tokens else []) + ([x[0]] if x.shape[1] == tokens else [])


class Watch:
    """Stands between a model and the functions that it calls while it runs over tokens."""

    def __init__(self, model):
        self.model, self.depth, self.undo = model, 0, []
        self.attending = set()  # modules that applied attention
        self.stack = []  # modules that are running, of those that have a layer's number
        self.on_attention = None
        config = text_config(model)
        count = getattr(config, "num_hidden_layers", None)
        self.blocks = next((list(m) for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count), [])
        self.numbers = {b: n for n, b in enumerate(self.blocks)}  # of the layers that modules belong to
        for m in model.modules():
            for name in ("layer_idx", "layer_id", "layer_number"):
                if isinstance(getattr(m, name, None), int):
                    self.numbers.setdefault(m, getattr(m, name))

    def start(self, tokens):
        self.tokens, self.cache, self.rotary_ran, self.rotated = tokens, None, False, False
        self.next()

    def layer_of(self, module):
        """The number of the layer whose attention is applied: what the cache was told, else what modules say."""
        if self.updated:
            return self.updated[0]
        return self.numbers.get(module, self.numbers[self.stack[-1]] if self.stack else None)

    def next(self):
        """Forgets what belongs to the attention that was applied last."""
        self.turned, self.linear, self.updated, self.hidden = [], [], None, None

    def __enter__(self):
        scopes = {}
        for module in self.model.modules():
            for cls in type(module).__mro__:
                if cls.__module__.split(".")[0] not in ("torch", "builtins", "abc"):
                    scopes[cls.__module__] = sys.modules[cls.__module__].__dict__
            self.hook(module.register_forward_pre_hook(self.before, with_kwargs=True))
            self.hook(module.register_forward_hook(self.after))
        self.interface = False
        for scope in scopes.values():
            for name, f in list(scope.items()):
                if name == ATTENTION and callable(f):
                    self.interface = True
                    self.patch(scope, name, self.attention(f))
                elif f is torch.nn.functional.scaled_dot_product_attention:
                    self.patch(scope, name, self.sdpa(f))
                elif inspect.isfunction(f) and re.search("rotary|rope", name) and "vision" not in name:
                    self.patch(scope, name, self.rotation(f))
        self.patch(torch.nn.functional.__dict__, SDPA, self.sdpa(torch.nn.functional.scaled_dot_product_attention))
        return self

    def __exit__(self, *_):
        for undo in reversed(self.undo):
            undo()
        self.undo = []

    def hook(self, handle):
        self.undo.append(handle.remove)

    def patch(self, scope, name, f):
        old = scope[name]
        scope[name] = f
        self.undo.append(lambda: scope.__setitem__(name, old))

    def before(self, module, args, kwargs):
        if module in self.numbers:
            self.stack.append(module)
        for x in [*args, *kwargs.values()]:
            if hasattr(x, "get_seq_length") and hasattr(x, "update") and x is not self.cache:
                self.watch(x)
        if module in self.attending:
            self.hidden = next((x for x in [*args, *kwargs.values()] if isinstance(x, torch.Tensor)), None)

    def after(self, module, args, output):
        if module in self.numbers:
            self.stack.pop()
        inside = any(m in self.attending for m in self.stack)
        if inside and isinstance(getattr(module, "weight", None), torch.Tensor) and isinstance(output, torch.Tensor) and args:
            self.linear.append((module, args[0], output))
        elif is_rotary(module) and args:
            self.rotary_ran = True
            self.take_turn(args, output)

    def watch(self, cache):
        """Hears what a cache is told."""
        update = cache.update

        def watched(key, value, layer, *args, **kwargs):
            self.updated = (layer, key, value)
            return update(key, value, layer, *args, **kwargs)

        self.cache = cache
        cache.update = watched
        self.undo.append(lambda: cache.__dict__.pop("update", None))

    def rotation(self, f):
        def turn(*args, **kwargs):
            self.depth += 1
            try:
                out = f(*args, **kwargs)
            finally:
                self.depth -= 1
            if self.depth == 0:
                self.take_turn([*args, *kwargs.values()], out)
            return out

        return turn

    def take_turn(self, args, out):
        """Pairs what went into a rotation with what came out of it."""
        given = [a for a in args if isinstance(a, torch.Tensor)]
        widths = [n for a in given if a.dim() < 4 or a.shape[1] == 1 or a.shape[2] == 1 for n in (a.shape[-1], 2 * a.shape[-1])]
        rows = list(given)
        for o in out if isinstance(out, (tuple, list)) else [out]:
            x = next((r for r in rows if isinstance(o, torch.Tensor) and o.dim() >= 3 and r.shape == o.shape and r is not o), None)
            if x is not None and self.tokens in o.shape[:-1]:
                rows = [r for r in rows if r is not x]
                self.turned.append((x, o, widths))
                self.rotated = True

    def attention(self, eager):
        def attend(module, query, key, value, attention_mask=None, *args, **kwargs):
            def call(q, k, v, m):
                return eager(module, q, k, v, m, *args, **kwargs)[0]

            names = set(inspect.signature(eager).parameters)
            more = [n for n, x in kwargs.items() if n in names and isinstance(x, torch.Tensor) and self.tokens in x.shape]
            return self.on_attention(module, query, key, value, attention_mask, call, kwargs, more).to(query.dtype), None

        return attend

    def sdpa(self, f):
        def attend(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
            if self.depth or not self.stack or query.dim() != 4:
                return f(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
            n = query.shape[2]
            if attn_mask is None and is_causal:
                attn_mask = torch.ones(n, n, dtype=torch.bool, device=query.device).tril()[None, None]
            elif attn_mask is None:
                attn_mask = torch.ones(1, 1, n, key.shape[2], dtype=torch.bool, device=query.device)

            def call(q, k, v, m):
                return f(q, k, v, m, scale=scale, enable_gqa=k.shape[1] != q.shape[1]).transpose(1, 2)

            o = self.on_attention(self.stack[-1], query, key, value, attn_mask, call, {"scaling": scale} if scale else {}, [])
            return o.transpose(1, 2).to(query.dtype).contiguous()

        return attend


# --- a layer -------------------------------------------------------------------------------------------------------------


def repeated(x):
    """How often each head of rows [tokens, heads, channels] comes in a row."""
    n = x.shape[1]
    for times in sorted((t for t in range(2, n + 1) if n % t == 0), reverse=True):
        if torch.equal(x, x[:, ::times].repeat_interleave(times, 1)):
            return times
    return 1


def digest(*rows):
    """By which layers are known that read the same keys and values."""
    h = hashlib.blake2b()
    for x in rows:
        h.update(str(x.shape).encode() + x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return h.digest()


def weight_of(linear, rank):
    """The matrix [out, rank] of a projection, whatever holds it; None where it adds a bias."""
    w = linear.weight
    if w.is_floating_point() and tuple(w.shape[1:]) == (rank,) and getattr(linear, "bias", None) is None and type(linear) is torch.nn.Linear:
        return w.detach()
    dtype = next((p.dtype for p in linear.parameters() if p.is_floating_point()), torch.float32)
    eye = torch.eye(rank, dtype=dtype, device=w.device)
    forward = type(linear).forward
    if forward(linear, torch.zeros_like(eye)).any():
        return None
    return forward(linear, eye).T.detach()


class Latent:
    """Keys and values that two projections make of one short row a token: k_h = (w_uk[h] c, k_rope), v_h = w_uv[h] c."""

    def __init__(self, c, k_rope, w_uk, w_uv, nope_first):
        self.c, self.k_rope, self.w_uk, self.w_uv, self.nope_first = c, k_rope, w_uk, w_uv, nope_first

    @staticmethod
    def find(watch, k, v):
        """Looks for them among the projections of the attention whose keys and values [tokens, heads, channels] these are."""
        tokens, heads, width = k.shape
        parts = {}  # of the same row: which projection gives keys, which values
        for module, row, out in watch.linear:
            if row.dim() < 2 or out.numel() % (tokens * heads) or row.numel() % tokens:
                continue
            if watch.hidden is not None and row.numel() == watch.hidden.numel() and torch.equal(row.flatten(), watch.hidden.flatten()):
                continue  # an ordinary projection
            c, y = row.reshape(tokens, -1), out.reshape(tokens, heads, -1)
            n, d = y.shape[2], v.shape[2]
            part = parts.setdefault(row.data_ptr(), {"c": c})
            if n > d and n - d <= width and torch.equal(y[..., n - d :], v):
                part["v"], part["k"], y = (module, slice(n - d, n)), (module, slice(0, n - d)), y[..., : n - d]
            elif torch.equal(y, v) and "v" not in part:
                part["v"] = (module, slice(0, n))
                continue
            elif n <= width and "k" not in part:
                part["k"] = (module, slice(0, n))
            else:
                continue
            n = y.shape[2]
            if torch.equal(y, k[..., :n]):
                part["rest"], part["first"] = k[..., n:], True
            elif torch.equal(y, k[..., width - n :]):
                part["rest"], part["first"] = k[..., : width - n], False
            else:
                part.pop("k")
        for part in parts.values():
            rest, rank = part.get("rest"), part["c"].shape[1]
            if "k" not in part or "v" not in part or not rest.shape[2] or not torch.equal(rest, rest[:, :1].expand_as(rest)):
                continue
            if rank + rest.shape[2] >= heads * (width + v.shape[2]):
                continue  # no shorter than what it gives
            w = []
            for module, rows in (part["k"], part["v"]):
                weight = weight_of(module, rank)
                if weight is None:
                    raise Refusal("the projection that expands the latent rows adds a bias, which a trace cannot say")
                w.append(weight.reshape(heads, -1, rank)[:, rows])
            return Latent(part["c"], rest[:, 0], *w, part["first"])
        return None

    def expanded(self):
        """Keys [tokens, heads, nope + rope] and values [tokens, heads, v_dim], in float32."""
        c = self.c.float()
        nope = torch.einsum("tr,hnr->thn", c, self.w_uk.float())
        rope = self.k_rope.float()[:, None].expand(-1, nope.shape[1], -1)
        return torch.cat((nope, rope), -1), torch.einsum("tr,hvr->thv", c, self.w_uv.float())


def logits64(q, k, layer, first):
    """Logits in float64 of queries q [n, heads, channels] of tokens first, with what a trace says of attention."""
    tokens = torch.arange(k.shape[0])
    groups = q.unflatten(1, (k.shape[1], -1))
    x = torch.einsum("nghd,tgd->ghnt", groups, k).flatten(0, 1) * layer["scale"]
    if "softcap" in layer:
        x = layer["softcap"] * torch.tanh(x / layer["softcap"])
    if layer["alibi"] is not None:
        x = x + layer["alibi"][:, None, None] * (tokens - first[:, None])
    hidden = tokens > first[:, None]
    if "window" in layer:
        hidden |= tokens <= first[:, None] - layer["window"]
    if "chunk" in layer:
        hidden |= tokens // layer["chunk"] != first[:, None] // layer["chunk"]
    return x.masked_fill(hidden, -math.inf)


def proof(q, k, v, o, layer, of):
    """How far attention in float64, as a trace says it, is from outputs, as a share, for the queries of some tokens."""
    d = [x.detach().double().cpu() for x in (q, k, v, o)]
    x = logits64(d[0], d[1], layer, of)
    if layer["sinks"] is not None:
        x = torch.cat((x, layer["sinks"][:, None, None].expand(*x.shape[:2], 1)), -1)
    p = torch.softmax(x, -1)[..., : k.shape[0]].unflatten(0, (k.shape[1], -1))
    got = torch.einsum("ghnt,tgd->nghd", p, d[2]).flatten(1, 2)
    return float((got - d[3]).norm() / d[3].norm())


class Capture:
    """Writes the layers of a model to a trace file, as their attention is applied."""

    def __init__(self, watch, file, tokens, wanted, dtype, last):
        self.watch, self.file, self.tokens, self.wanted, self.dtype, self.last = watch, file, tokens, wanted, dtype, last
        self.layers, self.owners, self.sights, self.lines = {}, {}, {}, {}
        self.said, self.shapes = {}, {}
        self.unturned = []  # layers whose keys no rotary embedding was seen to turn
        self.config = text_config(watch.model)
        keys = numbers_of(watch.model.config.to_dict())
        self.thetas = sorted({x for n, x in keys if re.search("theta|base", n) and x > 1})
        self.modules = [m for m in watch.model.modules() if is_rotary(m) or any("inv_freq" in n for n in [*vars(m), *dict(m.named_buffers(recurse=False))])]

    def note(self, layer, text):
        """Keeps what is to be said of some layers."""
        self.said.setdefault(text, []).append(layer)

    def attend(self, module, query, key, value, mask, call, kwargs, more):
        """Stands for the attention function: [1, heads, tokens, channels] of queries, keys and values."""
        watch = self.watch
        layer, updated = watch.layer_of(module), watch.updated
        try:
            return self.take(layer, updated, module, query, key, value, mask, call, kwargs, more)
        except Refusal as e:
            raise Refusal(f"layer {layer}: {e}") from None
        finally:
            watch.next()

    def sight(self, mask):
        """What a mask lets queries read; layers share theirs."""
        if id(mask) not in self.sights:
            if len(self.sights) > 8:  # of a model whose layers do not
                self.sights.clear()
            self.sights[id(mask)] = (Sight(mask, self.tokens), mask)
        return self.sights[id(mask)][0]

    def leave(self, layer, query, key, value, mask, call, more):
        """Applies the attention of a layer that is not asked for. Others may read its keys and values."""
        rows = [x[0].transpose(0, 1) for x in (key, value)]
        times = math.gcd(*map(repeated, rows))
        self.owners.setdefault(digest(*(x[:, ::times] for x in rows)), layer)
        try:
            return self.outputs(query, key, value, mask, self.sight(mask), call, more)
        except Refusal:  # whatever it reads
            return call(query, key, value, mask)

    def take(self, layer, updated, module, query, key, value, mask, call, kwargs, more):
        """Writes the layer and returns its outputs."""
        tokens = self.tokens
        if layer is None:
            raise Refusal(f"{type(module).__name__} has no layer_idx and fed no cache: which layer it is cannot be seen")
        if layer not in self.wanted:
            return self.leave(layer, query, key, value, mask, call, more)
        if layer in self.layers:
            raise Refusal("attention is applied twice, or to something beside the text: a trace has one attention a layer")
        if query.shape[0] != 1 or query.shape[2] != tokens or key.shape[2] != tokens:
            raise Refusal(f"queries {list(query.shape)} and keys {list(key.shape)}, want [1, heads, {tokens}, channels]")
        self.shapes[layer] = {tuple(key.shape), tuple(value.shape)}
        sight = self.sight(mask)
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        given = q, k
        times = math.gcd(repeated(k), repeated(v))
        k, v = k[:, ::times], v[:, ::times]
        latent = Latent.find(self.watch, k, v) if k.shape[1] == q.shape[1] else None
        if latent is not None:
            if not latent.nope_first:
                n = latent.k_rope.shape[1]
                q, query, k = (torch.cat((x[..., n:], x[..., :n]), -1) for x in (q, query, k))
            key, value = (x.transpose(0, 1)[None] for x in latent.expanded())  # once, in float32
            off = max(float((a[0].transpose(0, 1) - b.float()).norm() / b.float().norm()) for a, b in ((key, k), (value, v)))
            if off > (1e-4 if k.dtype == torch.float32 else 0.02):
                raise Refusal(f"keys and values are not those that the projections of the latent rows give (off by {off:.1%})")
        elif updated is not None and updated[1].shape[2:] == key.shape[2:] and updated[1].shape[1] < k.shape[1]:
            raise Refusal(f"attention is handed the {updated[1].shape[1]} KV heads of the cache in another order than each some times in a row, which a trace cannot say")
        elif updated is not None and updated[1].numel() not in (k.numel(), key.numel()):
            raise Refusal(f"the cache is handed {list(updated[1].shape)}, attention {list(key.shape)}, and no projection between them is seen")
        out = self.outputs(query, key, value, mask, sight, call, more)
        said, tensors = self.describe(layer, updated, module, q, k, v, given, sight, call, kwargs, (query, key, value), latent)
        at = torch.unique(torch.linspace(tokens - self.last, tokens - 1, min(16, self.last)).long())
        rows_k, rows_v = (x[0].transpose(0, 1) for x in (key, value)) if latent is not None else (tensors["k"], tensors["v"])
        miss = proof(tensors["q"][at], rows_k, rows_v, out[0][at], said, at)
        if not miss < REFUSED:
            also = f"; attention is handed {' and '.join(more)} too" if more else ""
            raise Refusal(f"attention over what was seen is {miss:.2%} off the model's own: {self.text(said)}{also}")
        self.write(layer, said, tensors, out[0], latent)
        kept = f"{k.shape[1]} KV heads of {k.shape[2]}" + (f" and {v.shape[2]}" if v.shape[2] != k.shape[2] else "")
        if latent is not None:
            kept = f"latent rows of {latent.c.shape[1]} + {latent.k_rope.shape[1]}"
        line = self.lines.setdefault(f"{q.shape[1]} query heads on {kept}: {self.text(said)}", [[], 0])
        line[0].append(layer)
        line[1] = max(line[1], miss)
        return out

    def outputs(self, query, key, value, mask, sight, call, more):
        """The model's own attention in float32, some queries at a time, [1, tokens, heads, channels]."""
        q, k, v = query.float(), key.float(), value.float()
        tokens, heads = q.shape[2], q.shape[1]
        block = tokens if more or mask is None else max(16, BLOCK_BYTES // (4 * heads * tokens))
        parts = []
        for lo in range(0, tokens, block):
            hi = min(tokens, lo + block)
            last = tokens if hi == tokens else hi
            m = mask
            if m is not None:
                m = m[..., lo:hi, :last]
                if m.dtype != torch.bool:
                    m = m.float().masked_fill(~sight.visible[lo:hi, :last], torch.finfo(torch.float32).min)
            parts.append(call(q[:, :, lo:hi], k[:, :, :last], v[:, :, :last], m).reshape(1, hi - lo, heads, -1))
        return torch.cat(parts, 1)

    def describe(self, layer, updated, module, q, k, v, given, sight, call, kwargs, handed, latent):
        """The fields of a layer and its tensors [rows, heads, channels]."""
        logits = Logits(lambda *a: call(*a).reshape(1, 1, q.shape[1], -1), module, kwargs, *handed)
        said = {"scale": logits.scale, "sinks": None, "alibi": sight.alibi if sight.alibi is None else sight.alibi.cpu()}
        if said["alibi"] is not None and len(said["alibi"]) == 1:
            said["alibi"] = said["alibi"].expand(q.shape[1])
        if logits.softcap:
            said["softcap"] = float(logits.softcap)
        if logits.sinks is not None:
            said["sinks"] = torch.tensor(np.asarray(logits.sinks, float))
        self.span(layer, said, sight, module, kwargs)
        tensors = {"q": q, "k": k, "v": v}
        mark = digest(k, v)
        owner = self.owners.setdefault(mark, layer)
        if owner != layer and (updated is None or updated[0] != layer):
            if owner not in self.wanted:
                raise Refusal(f"it reads the keys and values of layer {owner}, want that among --layers")
            said["kv_from"] = owner
        else:
            self.owners[mark] = layer
        turned = self.rotary(layer, said, tensors, given, latent)
        if not turned:
            self.unturned.append(layer)
        if "kv_from" in said:
            for name in ("rope_theta", "rope_style", "rope_dims", "rope_factor", "rope_inv_freq"):
                said.pop(name, None)
                if self.layers[owner].get(name) is not None:
                    said[name] = self.layers[owner][name]
        return said, tensors

    def span(self, layer, said, sight, module, kwargs):
        """Window and chunk: the mask's, and where the text is too short for it to show one, what was handed."""
        kinds = getattr(self.config, "layer_types", None) or []
        kind = kinds[layer] if layer < len(kinds) else ""
        window = next((x for x in (kwargs.get("sliding_window"), getattr(module, "sliding_window", None)) if isinstance(x, int) and x > 0), None)
        if window is None and kind == "sliding_attention":
            window = getattr(self.config, "sliding_window", None)
        chunk = getattr(self.config, "attention_chunk_size", None) if kind == "chunked_attention" else None
        if sight.window or sight.chunk:
            said.update({n: x for n, x in (("window", sight.window), ("chunk", sight.chunk)) if x})
            if window and sight.window and sight.window != window:
                self.note(layer, f"the mask is that of a window of {sight.window}, though {window} is what was handed: the mask's is taken")
            return
        for name, x in (("window", window), ("chunk", chunk)):
            if x and x >= self.tokens:
                said[name] = x
                self.note(layer, f"{name} of {x}: the text is too short for the mask to show it, it is taken as it was handed")
            elif x:
                self.note(layer, f"a {name} of {x} was handed, but the mask has none: none is taken")

    def rotary(self, layer, said, tensors, given, latent):
        """Finds the rotary embedding of a layer, and puts the channels that it turned where a trace has them. given are the
        queries and keys that attention was handed."""
        turned, k = [], given[1]
        keys = (k, tensors["k"]) if tensors["k"].shape[1] != k.shape[1] else (k,)
        for x, y, widths in self.watch.turned:
            ways = list(zip(arranged(x, self.tokens), arranged(y, self.tokens)))
            for a, b in ways:
                n = b.shape[2]
                for rows in (*keys, given[0]):
                    for lo in dict.fromkeys((0, rows.shape[2] - n)):
                        likeness = alike(rows[..., lo : lo + n], b) if lo >= 0 and b.shape[1] in (1, rows.shape[1]) else None
                        if likeness is not None:
                            turned.append((a, b, widths, lo, rows is not given[0], likeness))
                            break
                    else:
                        continue
                    break
        seen = len(self.watch.turned) > 0
        of_keys = [t for t in turned if t[4]] or ([t for t in turned] if "kv_from" in said else [])
        if not of_keys:
            if seen and "kv_from" not in said:
                raise Refusal("a rotary embedding was applied, but its result is not what attention is handed as keys")
            return False
        at, width = of_keys[0][3], of_keys[0][1].shape[2]
        exact = k.dtype == torch.float32
        pairs = [(a, b) for a, b, _, lo, *_ in turned if lo == at and b.shape[2] == width]
        rope = Rope(pairs, [w for t in of_keys for w in t[2]], 1e-3 if exact else 0.03)
        if rope.none:
            return False
        rope.n = self.tokens
        values = [b.detach().double().cpu().numpy() for m in self.modules for n, b in [*m.named_buffers(recurse=False), *vars(m).items()] if "inv_freq" in n and isinstance(b, torch.Tensor) and b.dim() == 1]
        factors = [float(x) for m in self.modules for x in [getattr(m, "attention_scaling", None), *(y for n, y in vars(m).items() if n.endswith("attention_scaling"))] if isinstance(x, (int, float))]
        rope.settle(values, self.thetas, factors, exact)
        for likeness in dict.fromkeys(t[5] for t in of_keys if t[5]):
            self.note(layer, f"{likeness} comes after the rotary embedding: the rows have been through both")
        if latent is not None:
            if at != (k.shape[2] - width if latent.nope_first else 0) or width != latent.k_rope.shape[1]:
                raise Refusal("the rotary embedding turns other channels than those beside the latent rows")
        elif at > 0:  # a trace has the rotated channels first, which no logit depends on
            for name in ("q", "k"):
                x = tensors[name]
                tensors[name] = torch.cat((x[..., at : at + width], x[..., :at], x[..., at + width :]), -1)
            self.note(layer, "the rotated channels are the last of the heads: queries and keys are written with them first")
        said.update(rope_theta=rope.theta, rope_style=rope.style, rope_dims=int(rope.dims))
        if rope.factor != 1:
            said["rope_factor"] = rope.factor
        if not rope.follows:
            said["rope_inv_freq"] = rope.freq
        return True

    def write(self, layer, said, tensors, out, latent):
        """Writes the tensors of a layer in the dtype of the trace."""
        dtype = ROWS.get(self.dtype) or (tensors["q"].dtype if tensors["q"].dtype in ROWS.values() else torch.float32)
        add = lambda name, x, d=dtype: self.file.add(f"layers.{layer}.{name}", x, d)
        add("q", tensors["q"][-self.last :])
        if latent is not None:
            for name in ("c", "k_rope", "w_uk", "w_uv"):
                add(name, getattr(latent, name))
        elif "kv_from" not in said:
            add("k", tensors["k"])
            add("v", tensors["v"])
        add("o", out[-self.last :])
        for name in ("sinks", "alibi"):
            if said[name] is not None:
                add(name, said[name], torch.float32)
        if "rope_inv_freq" in said:
            add("rope_inv_freq", torch.tensor(said["rope_inv_freq"]), torch.float32)
        self.layers[layer] = said

    @staticmethod
    def text(said):
        words = [f"{n} {said[n]:.6g}" for n in ("scale", "softcap", "window", "chunk", "rope_theta", "rope_dims", "rope_factor", "kv_from") if n in said]
        words += [n for n in ("sinks", "alibi") if said[n] is not None] + (["its own rope_inv_freq"] if "rope_inv_freq" in said else [])
        return ", ".join([*words, *([said["rope_style"]] if said.get("rope_style") == "gptj" else [])])


def alike(rows, y):
    """What lies between rows [tokens, heads, channels] and y: "" where nothing does, a norm, or None where it is something else."""
    y = y.expand(-1, rows.shape[1], -1)
    if rows.shape != y.shape:
        return None
    if torch.equal(rows, y):
        return ""
    a, b = rows.float(), y.float()
    if (torch.nn.functional.cosine_similarity(a, b, dim=-1) > 0.999).all():
        return "a norm or a factor"
    weight = (a / a.norm(dim=-1, keepdim=True) / b).flatten(0, 1)  # of channels, up to a factor for each row
    weight = torch.where(weight.isfinite(), weight, math.nan)
    weight = (weight / weight.abs().nanmedian(-1, keepdim=True)[0]).nanmedian(0)[0]
    if (torch.nn.functional.cosine_similarity(a, b * weight, dim=-1) > 0.999).all():
        return "a norm with a weight for each channel"
    return None


def text_config(model):
    return model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config


def numbers_of(tree, name=""):
    """The numbers of a configuration, with their names."""
    if isinstance(tree, dict):
        for n, x in tree.items():
            yield from numbers_of(x, str(n))
    elif isinstance(tree, (list, tuple)):
        for x in tree:
            yield from numbers_of(x, name)
    elif isinstance(tree, (int, float)) and not isinstance(tree, bool):
        yield name, float(tree)


def state_bytes(cache, blocks, layer, shapes):
    """The bytes of what a cache, or a block of the model, keeps for a layer beside the keys and values of its attention,
    which have these shapes where it has one."""
    total, seen = 0, set()

    def add(x, name=""):
        nonlocal total
        if isinstance(x, torch.Tensor):
            used = not shapes or tuple(x.shape) not in shapes and x.any()  # of all layers there may be some that none writes
            if x.dim() > 1 and x.data_ptr() not in seen and used:  # those of one dimension count tokens
                seen.add(x.data_ptr())
                total += x.numel() * x.element_size()
        elif isinstance(x, dict):
            for n, y in x.items():
                add(y, str(n))
        elif isinstance(x, (list, tuple)):
            for y in x:
                add(y)

    if layer < len(blocks) and not shapes:  # what modules keep themselves
        for module in blocks[layer].modules():
            for name, x in vars(module).items():
                if isinstance(x, torch.Tensor) and "state" in name:
                    add(x)
    layers = getattr(cache, "layers", None)
    if isinstance(layers, (list, tuple)):
        if layer < len(layers) and layers[layer] is not None:
            for name, x in vars(layers[layer]).items():
                if not (shapes and name in ("keys", "values")):
                    add(x)
    for name, x in vars(cache).items() if cache is not None else ():
        if name == "layers" or shapes and name in ("key_cache", "value_cache"):
            continue
        if isinstance(x, dict) and layer in x:
            add(x[layer])
        elif isinstance(x, (list, tuple)) and layer < len(x) and (isinstance(x[layer], (torch.Tensor, list, tuple, dict))):
            add(x[layer])
        elif isinstance(x, torch.Tensor) and x.dim() > 1 and layer < x.shape[0]:
            add(x[layer])
    return total


# --- the run -------------------------------------------------------------------------------------------------------------


def forward(model, ids, generating=False):
    """Runs a model over token ids [1, tokens], without its output head; where it makes its cache for generation only, as it
    is called then."""
    base = getattr(model, "base_model", model)
    handed = {"input_ids": ids}
    if generating:
        made = model.prepare_inputs_for_generation(
            ids, past_key_values=None, use_cache=True, attention_mask=torch.ones_like(ids), is_first_iteration=True,
            cache_position=torch.arange(ids.shape[1], device=ids.device)
        )
        known = inspect.signature(type(base).forward).parameters
        handed |= {n: x for n, x in made.items() if n in known and x is not None}
    return base(**(handed | {"use_cache": True}))


def capture(model, token_ids, out, name="", source="", layers=None, dtype="auto", last=None):
    """Runs a model over token ids and writes what its attention does as a trace: of some layers (a set of numbers; None:
    all), with the queries of the last tokens only (None: of all), in F32, F16, BF16 or the dtype of the queries ("auto")."""
    ids = torch.as_tensor(token_ids, dtype=torch.long).reshape(1, -1)
    tokens, device = ids.shape[1], next(model.parameters()).device
    if tokens < 4:
        raise Refusal(f"{tokens} tokens, want at least 4")
    last = tokens if last is None else last
    if not 1 <= last <= tokens:
        raise Refusal(f"the queries of the last {last} tokens, want 1 to {tokens}")
    model.eval()
    kind = getattr(model.config, "_attn_implementation", "eager")
    with torch.no_grad(), Watch(model) as watch:
        if watch.interface and kind != "eager":
            model.set_attn_implementation("eager")
            watch.undo.append(lambda: model.set_attn_implementation(kind))
        few, found = min(8, tokens // 2), set()

        def look(module, q, k, v, mask, call, kwargs, more):
            watch.attending.add(module)
            found.add(watch.layer_of(module))
            watch.next()
            return call(q, k, v, mask)

        watch.on_attention = look
        watch.start(few)
        start = ids[:, :few].to(device)
        cache, generating = cache_of(watch, forward(model, start)), False
        if cache is None:
            with contextlib.suppress(Exception):  # what it cannot make for generation, it does not have
                watch.start(few)
                cache, generating = cache_of(watch, forward(model, start, True)), True
        if not watch.attending:
            raise Refusal(f"{type(model).__name__} calls no attention function that can be watched ({ATTENTION}, {SDPA})" + ("" if any("Attention" in type(m).__name__ for m in model.modules()) else ": it has none"))
        count = max([getattr(text_config(model), "num_hidden_layers", None) or 0, *(n + 1 for n in found if n is not None)])
        short = [state_bytes(cache, watch.blocks, n, ()) for n in range(count)]
        if layers is not None and (strange := sorted(set(layers) - set(range(count)))):
            raise Refusal(f"layer {strange[0]}, want 0 to {count - 1}")
        wanted = set(range(count)) if layers is None else set(layers)
        if not wanted & found:
            raise Refusal("none of the layers has attention, want one of " + spans(sorted(n for n in found if n is not None)))
        file = TraceFile(out, 4096 + 2048 * count)
        try:
            work = Capture(watch, file, tokens, wanted, dtype, last)
            watch.on_attention = work.attend
            watch.start(tokens)
            cache = cache_of(watch, forward(model, ids.to(device), generating))
            kept = [state_bytes(cache, watch.blocks, n, work.shapes.get(n, ())) for n in range(count)]
            meta = metadata(model, work, kept, short, found, name, source)
            file.add("token_ids", ids[0].int(), torch.int32)
            file.finish(meta)
        except BaseException:
            file.drop()
            raise
    for text, of in work.said.items():
        say(f"layers {spans(of)}: {text}")
    for line, (of, miss) in work.lines.items():
        say(f"layers {spans(of)}: {line}; {miss:.1g} off the outputs")


def cache_of(watch, output):
    return watch.cache if watch.cache is not None else getattr(output, "past_key_values", None)


def metadata(model, work, kept, short, found, name, source):
    """The metadata of a trace whose layers are written. kept are the bytes that each layer keeps beside keys and values, short
    those after a few tokens, found the layers that have attention."""
    count = len(kept)
    fields, states, silent = {}, {}, []
    turned = [n for n in work.layers if n not in work.unturned]
    if work.watch.rotary_ran and not work.watch.rotated and all(work.layers[n]["alibi"] is None for n in work.unturned):
        raise Refusal("the model has a rotary embedding, but no function that applies it was seen")
    if work.unturned and (turned or work.thetas):
        say(f"layers {spans(work.unturned)}: no rotary embedding was applied, they are written as having none")
    for layer, n in enumerate(kept):
        said = work.layers.get(layer)
        if said is not None:
            fields[str(layer)] = {k: x for k, x in said.items() if k not in ("sinks", "alibi", "rope_inv_freq")}
            if n:
                work.note(layer, f"{n} bytes are kept beside the keys and values, which a trace cannot say: no figure counts them")
        elif layer not in work.wanted and layer in found:
            continue
        elif n:
            if n != short[layer]:
                raise Refusal(f"layer {layer}: what it keeps grows with the text and is no keys")
            states[layer] = n
            fields[str(layer)] = {"state_bytes": n}
        else:
            silent.append(layer)
    if silent:
        say(f"layers {spans(silent)}: no attention was seen, and nothing that they keep in the cache")
    if states:
        say(f"layers {spans(sorted(states))}: states of {' or '.join(map(str, sorted(set(states.values()))))} bytes")
    made = f"captured by kvgauge's hook, transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    return {
        "format": "kvgauge-trace", "version": "2", "model": name or getattr(model.config, "name_or_path", "") or model.config.model_type,
        "source": f"{source}; {made}" if source else made, "num_layers": str(count), "layers": json.dumps(fields),
    }


def spans(numbers):
    """0..3,7 for 0 1 2 3 7."""
    parts = []
    for n in numbers:
        if parts and parts[-1][1] == n - 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ",".join(str(a) if a == b else f"{a}..{b}" for a, b in parts)


def layer_set(text):
    """The numbers of 0,4..7."""
    out = set()
    for part in text.split(","):
        m = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", part)
        if not m or int(m[2] or m[1]) < int(m[1]):
            raise argparse.ArgumentTypeError(f"{text}: want layers, such as 0,4..7")
        out |= set(range(int(m[1]), int(m[2] or m[1]) + 1))
    return out


def count_of(text):
    m = re.fullmatch(r"(\d+)(k?)", text)
    if not m or not (n := int(m[1]) * (1024 if m[2] else 1)):
        raise argparse.ArgumentTypeError(f"{text}: want a positive number of tokens, such as 2048 or 2k")
    return n


def ids_of(path):
    """The token ids of a file: numbers with space between them, or an .npy array of int32 or int64."""
    try:
        if path.endswith(".npy"):
            ids = np.load(path, allow_pickle=False)
            if ids.dtype not in (np.int32, np.int64):
                raise Refusal(f"--token-ids {path}: dtype {ids.dtype}, want int32 or int64")
            return ids.reshape(-1).tolist()
        with open(path) as f:
            return [int(word) for word in f.read().split()]
    except (OSError, ValueError) as e:
        raise Refusal(f"--token-ids {path}: {getattr(e, 'strerror', None) or e}") from None


def text_of(text):
    """A text, and what to call it: that of a file where there is one of the name."""
    if os.path.isfile(text):
        with open(text, encoding="utf-8", errors="replace") as f:
            return f.read(), os.path.basename(text)
    if not re.search(r"\s", text) and (os.sep in text or re.search(r"\.\w{1,5}$", text)):
        raise Refusal(f"--text {text}: no such file")
    return text, "a text"


def load(path, device, trust):
    """Loads a model with the attention that can be watched: its own where it calls one by the interface, else PyTorch's."""
    def of(kind):
        args = dict(dtype="auto", attn_implementation=kind, trust_remote_code=trust)
        try:
            return transformers.AutoModelForCausalLM.from_pretrained(path, **args)
        except ValueError as e:
            if "Unrecognized configuration class" not in str(e):
                raise
            return transformers.AutoModelForImageTextToText.from_pretrained(path, **args)

    model = of("eager")
    scopes = {sys.modules[c.__module__] for m in model.modules() for c in type(m).__mro__ if c.__module__ in sys.modules}
    if not any(hasattr(s, ATTENTION) for s in scopes) and getattr(model, "_supports_sdpa", False):
        del model
        model = of("sdpa")
    return model.to(device)


def opened(what, how):
    """What transformers opens, with its refusals on one line."""
    try:
        return how()
    except (OSError, ValueError, KeyError, ImportError) as e:
        raise Refusal(f"the {what} cannot be opened: {' '.join(str(e).split())}") from None


def main():
    p = argparse.ArgumentParser(prog="hook.py", formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    p.add_argument("--model", required=True, help="name or folder of a Hugging Face model")
    p.add_argument("--text", help="text to run over: a file, or the text itself")
    p.add_argument("--token-ids", metavar="FILE", help="token ids in place of a text: numbers with space between them, or an .npy of int32 or int64")
    p.add_argument("--tokens", type=count_of, metavar="N", help="length: the first N tokens of the text (default: all, at most 1024)")
    p.add_argument("--out", required=True, metavar="FILE", help="safetensors file to write")
    p.add_argument("--layers", type=layer_set, help="layers to write, such as 0,4..7 (default: all)")
    p.add_argument("--dtype", choices=["auto", *ROWS], default="auto", help="of the rows in the file (default: as the model computes them)")
    p.add_argument("--last", type=count_of, metavar="N", help="write the queries and outputs of the last N tokens only (default: of all)")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where the model runs (default here: %(default)s)")
    p.add_argument("--trust-remote-code", action="store_true", help="let the model's folder bring its own code")
    a = p.parse_args()
    try:
        if (a.text is None) == (a.token_ids is None):
            raise Refusal("want either --text or --token-ids")
        folder = os.path.dirname(a.out) or "."
        if os.path.isdir(a.out) or not os.access(folder, os.W_OK):
            raise Refusal(f"--out {a.out}: cannot be written")
        if a.token_ids:
            ids, source = ids_of(a.token_ids), os.path.basename(a.token_ids)
        else:
            text, source = text_of(a.text)
            ids = opened("tokenizer (--token-ids needs none)", lambda: transformers.AutoTokenizer.from_pretrained(a.model, trust_remote_code=a.trust_remote_code))(text)["input_ids"]
        if a.tokens and len(ids) < a.tokens:
            raise Refusal(f"--tokens {a.tokens}: the text has {len(ids)}")
        ids = ids[: a.tokens or 1024]
        if a.last and a.last > len(ids):
            raise Refusal(f"--last {a.last}: the text has {len(ids)} tokens")
        model = opened("model", lambda: load(a.model, a.device, a.trust_remote_code))
        name = os.path.basename(os.path.normpath(os.path.abspath(a.model))) if os.path.isdir(a.model) else a.model
        capture(model, ids, a.out, name, f"{len(ids)} tokens of {source}", a.layers, a.dtype, a.last)
    except Refusal as e:
        say(str(e))
        sys.exit(2)
    except KeyboardInterrupt:
        say(f"interrupted: {a.out} was not written")
        sys.exit(1)
    say(f"wrote {a.out}: {os.path.getsize(a.out)} bytes")


if __name__ == "__main__":
    main()
