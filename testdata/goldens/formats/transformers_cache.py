"""Writes quanto.json and hqq.json: what the quantised caches of transformers hold after a prompt, and after the decoded tokens
with which everything is quantised again.

    python3 transformers_cache.py

needs torch 2.15.0, transformers 5.24.0, optimum-quanto 0.2.7 and hqq 0.2.8.post1. Tests do not run this. One layer with
two heads of 64 channels, in bfloat16; values are the cache's own, dequantised.
"""
import numpy as np
import torch
from transformers.cache_utils import HQQQuantizedLayer, QuantoQuantizedLayer
from rows import CHANNELS, text, write

HEADS, PROMPT, RESIDUAL = 2, 40, 16
r = np.random.default_rng(24)
x = r.standard_normal((1, HEADS, PROMPT + RESIDUAL, CHANNELS)) * np.where(np.arange(CHANNELS) % 21 == 4, 8, 1) + 0.3
x = torch.tensor(x.astype(np.float32)).to(torch.bfloat16)


def of_quanto(state):
    codes = state._data.unpack() if hasattr(state._data, "unpack") else state._data
    return codes, torch.stack([state._scale, -state._shift], -1)


def of_hqq(state):
    packed, meta = state
    from hqq.core.quantize import Quantizer
    codes = Quantizer.unpack[meta["packing"]](packed, dtype=torch.uint8)
    return codes, torch.stack([meta["scale"].to(torch.bfloat16), meta["zero"].to(torch.bfloat16)], -1)


def held(layer, of):
    """codes, scales and values of the keys, and how many tokens are quantised and wait."""
    codes, scales = of(layer._quantized_keys)
    values = layer._dequantize(layer._quantized_keys)
    waiting = layer.keys.shape[-2] if layer.keys.dim() == 4 else 0
    return {"codes": text(codes.to(torch.uint8).numpy()), "scales": text(scales.contiguous().view(torch.int16).numpy()),
            "values": text(values.float().numpy()), "quantised": values.shape[-2], "waiting": waiting}


for name, kind, axis, of, sizes in (("quanto", QuantoQuantizedLayer, 0, of_quanto, (2, 4)), ("hqq", HQQQuantizedLayer, 1, of_hqq, (2, 4, 8))):
    golden = {"channels": CHANNELS, "heads": HEADS, "prompt": PROMPT, "residual": RESIDUAL, "rows": text(x.float().numpy())}
    for bits in sizes:
        for group in (32, 64):
            layer = kind(nbits=bits, axis_key=axis, axis_value=axis, q_group_size=group, residual_length=RESIDUAL)
            layer.update(x[:, :, :PROMPT], x[:, :, :PROMPT])
            states = [held(layer, of)]
            for t in range(PROMPT, PROMPT + RESIDUAL):
                layer.update(x[:, :, t:t + 1], x[:, :, t:t + 1])
                if t == PROMPT + RESIDUAL - 2:
                    waits = held(layer, of)
                    assert (waits["quantised"], waits["waiting"]) == (PROMPT, RESIDUAL - 1)
            states.append(held(layer, of))
            golden[f"{bits} bits by {group}"] = states
    write(name + ".json", golden)
