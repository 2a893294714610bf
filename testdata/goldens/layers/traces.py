"""Makes small traces (version 2) of layers that differ from plain causal attention, and from each other, beside this file.

    python3 traces.py && python3 expected.py

needs numpy and safetensors. Tests do not run it: traces and expected.json are in the repository. Made again the traces hold
the same tensors and fields; safetensors writes the fields in any order.

Keys, values and queries are random with some structure: a few directions that drift from token to token, tokens with keys
that all queries like, and logits with a spread of about 2. So methods find something to choose, and scores are rarely close.
"""
import json, pathlib, zlib
import numpy as np
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).parent
TOKENS = 112


def layer(**own):
    """what a layer is where it says nothing else: widths are qk_dim and v_dim"""
    return dict(q_heads=4, kv_heads=2, qk_dim=16, v_dim=16, window=None, chunk=None, softcap=None, scale=None,
                rope_theta=10000.0, rope_style="neox", rope_dims=None, sinks=False, alibi=False) | own


# Windows: 12 is smaller than the recent part of every method here, 72 larger than their budgets; prompts end at 96 tokens.
TRACES = {
    "windows": dict(layers=[layer(), layer(window=12), layer(), layer(window=72)]),
    "chunks": dict(layers=[layer(chunk=20), layer(rope_theta=None), layer(window=30, chunk=50)], position_offset=7),
    "sinks": dict(layers=[layer(window=12, sinks=True, q_heads=6), layer(sinks=True, q_heads=6), layer(sinks=True, q_heads=6)]),
    "softcap": dict(layers=[layer(softcap=3.0, scale=.15, qk_dim=32, v_dim=32), layer(softcap=2.0, scale=.4, window=24, qk_dim=32, v_dim=32),
                            layer(scale=.4, chunk=40, qk_dim=32, v_dim=32)]),
    "alibi": dict(layers=[layer(alibi=True, rope_theta=None, kv_heads=4), layer(alibi=True, rope_theta=None, window=40, kv_heads=4)]),
    "widths": dict(layers=[layer(qk_dim=32, v_dim=64, q_heads=2), layer(qk_dim=64, v_dim=32, q_heads=2),
                           layer(qk_dim=64, v_dim=32, q_heads=2, sinks=True)]),
    "heads": dict(layers=[layer(softcap=4.0), layer(q_heads=6, kv_heads=3, qk_dim=32), layer(kv_heads=1, v_dim=32, chunk=50),
                          layer(kv_heads=4)]),
    "rope": dict(layers=[layer(rope_theta=1e6), layer(rope_theta=None, scale=.5), layer(rope_theta=500.0, rope_style="gptj"),
                         layer(rope_dims=8, window=40)]),
    "mixed": dict(layers=[layer(window=24, sinks=True, kv_heads=4, q_heads=4, qk_dim=24), layer(qk_dim=24, sinks=True, softcap=4.0)] * 2),
}


def drift(rng, width, keep):
    """a random walk of unit variance [TOKENS, width] that keeps this share of a step"""
    x = rng.normal(size=(TOKENS, width))
    for t in range(1, TOKENS):
        x[t] = keep * x[t - 1] + np.sqrt(1 - keep * keep) * x[t]
    return x


def rotate(x, angles, style):
    """rotates the first dimensions of x [n, heads, width], or pairs of neighbours (gptj), by angles [n, pairs]"""
    n = angles.shape[1]
    a, b = (np.arange(n), np.arange(n) + n) if style == "neox" else (2 * np.arange(n), 2 * np.arange(n) + 1)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    y = x.copy()
    y[..., a], y[..., b] = x[..., a] * cos - x[..., b] * sin, x[..., b] * cos + x[..., a] * sin
    return y


def rows(rng, l, offset):
    """q, k, v [TOKENS, heads, width]"""
    heads, kv_heads, d = l["q_heads"], l["kv_heads"], l["qk_dim"]
    group, topics = heads // kv_heads, 5
    topic = drift(rng, topics, .95)
    mixed = .7 * topic + .7 * rng.normal(size=(TOKENS, topics))
    heavy = np.where(rng.random((TOKENS, 1)) < 1 / 24, 1.0, 0.0)
    heavy[0] = 1.6
    q, k, v = (np.empty((TOKENS, n, width)) for n, width in ((heads, d), (kv_heads, d), (kv_heads, l["v_dim"])))
    for g in range(kv_heads):
        of_key, of_value = (rng.normal(size=(topics, width)) / np.sqrt(topics) for width in (d, l["v_dim"]))
        mean, liked = rng.normal(size=(2, d))
        length = np.exp(.25 * rng.normal(size=(TOKENS, 1)))
        k[:, g] = length * (.6 * mean + mixed @ of_key + .7 * rng.normal(size=(TOKENS, d))) + heavy * liked
        v[:, g] = .3 + mixed @ of_value + .5 * rng.normal(size=v[:, g].shape)
        for h in range(g * group, (g + 1) * group):
            q[:, h] = .6 * mean + (.8 * topic + .5 * drift(rng, topics, .9)) @ of_key + .7 * liked + .5 * rng.normal(size=(TOKENS, d))
    if l["rope_theta"]:
        dims = l["rope_dims"] or d
        angles = np.outer(np.arange(TOKENS) + offset, l["rope_theta"] ** (-2 * np.arange(dims // 2) / dims))
        q, k = rotate(q, angles, l["rope_style"]), rotate(k, angles, l["rope_style"])
    for h in range(heads):
        logits = (l["scale"] or d ** -.5) * q[TOKENS // 2:, h] @ k[:TOKENS // 2, h // group].T
        q[:, h] *= 2 / logits.std(axis=1).mean()
    return q, k, v


def metadata(layers, position_offset):
    """the fields that a layer says, of each; a rope_theta of 10000 stands for all layers but those that say another, or null"""
    says = {}
    common = 10000.0 if any(l["rope_theta"] == 10000.0 for l in layers) else None
    for n, l in enumerate(layers):
        says[str(n)] = {f: l[f] for f in ("window", "chunk", "softcap", "scale", "rope_style", "rope_dims")
                        if l[f] is not None and (f, l[f]) != ("rope_style", "neox")}
        if l["rope_theta"] != common:
            says[str(n)]["rope_theta"] = l["rope_theta"]
    fields = {"format": "kvgauge-trace", "version": "2", "model": "layers", "source": "random, with structure", "layers": json.dumps(says)}
    if common:
        fields["rope_theta"] = str(common)
    if position_offset:
        fields["position_offset"] = str(position_offset)
    return fields


def write(name, layers, position_offset=0):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    tensors = {}
    for n, l in enumerate(layers):
        for part, x in zip("qkv", rows(rng, l, position_offset)):
            tensors[f"layers.{n}.{part}"] = np.ascontiguousarray(x, np.float16)
        if l["sinks"]:
            tensors[f"layers.{n}.sinks"] = (2 + rng.normal(size=l["q_heads"])).astype(np.float32)
        if l["alibi"]:
            tensors[f"layers.{n}.alibi"] = (2.0 ** (-8 * np.arange(1, l["q_heads"] + 1) / l["q_heads"])).astype(np.float32)
    save_file(tensors, FOLDER / f"{name}.safetensors", metadata(layers, position_offset))


if __name__ == "__main__":
    for name, trace in TRACES.items():
        write(name, **trace)
