"""Writes mlx.json: codes, scales and biases that mx.quantize makes of rows.py's rows in float16.

    python3 mlx_quantize.py

needs mlx 0.32.4 (mlx[cpu]). Tests do not run this. Codes are one a byte, in the order of the channels.
"""
import mlx.core as mx
import numpy as np
from rows import CHANNELS, rows, text, write

x = rows().astype(np.float16)
golden = {"channels": CHANNELS, "rows": text(x.astype(np.float32))}
for bits in (2, 4, 8):
    for group in (32, 64):
        packed, scales, biases = mx.quantize(mx.array(x), group_size=group, bits=bits)
        bytes_ = np.array(packed).view(np.uint8)
        codes = np.stack([bytes_ >> bits * i & (1 << bits) - 1 for i in range(8 // bits)], -1).reshape(x.shape)
        scale_bias = np.stack([np.array(scales), np.array(biases)], -1)
        size = bytes_.size + scale_bias.nbytes
        golden[f"{bits} bits by {group}"] = {"codes": text(codes), "scales": text(scale_bias), "bytes": size}
write("mlx.json", golden)
