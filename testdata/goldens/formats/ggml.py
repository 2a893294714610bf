"""Writes ggml.json: the bytes that ggml's quantisers make of rows.py's rows, and what they decode to.

    python3 ggml.py

needs gguf 0.19.0 and llama-cpp-python 0.3.36 (ggml 0.25.3), whose shared library has the C quantisers, quantize_row_*_ref and
dequantize_row_*. Where the gguf package has the format too, the two must agree. Tests do not run this.
"""
import ctypes, glob, sys
import numpy as np
from gguf import GGMLQuantizationType, quants
from rows import CHANNELS, rows, text, write

library = ctypes.CDLL(glob.glob(sys.prefix + "/lib/python3*/site-packages/llama_cpp/lib/libggml-base.so")[0])
FORMATS = {"q8_0": 34, "q4_0": 18, "q4_1": 20, "q5_0": 22, "q5_1": 24, "iq4_nl": 18}  # bytes of a block of 32
x = rows()
golden = {"channels": CHANNELS, "rows": text(x)}
for name, size in FORMATS.items():
    blocks = np.zeros(x.size // 32 * size, np.uint8)
    quantise = getattr(library, f"quantize_row_{name}_ref")
    quantise(x.ctypes.data_as(ctypes.c_void_p), blocks.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(x.size))
    back = np.zeros_like(x)
    decode = getattr(library, f"dequantize_row_{name}")
    decode(blocks.ctypes.data_as(ctypes.c_void_p), back.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(x.size))
    kind = GGMLQuantizationType[name.upper()]
    if name != "iq4_nl":  # the package only reads it
        other = quants.quantize(x, kind).reshape(-1)
        differ = np.flatnonzero((other != blocks).reshape(-1, size).any(axis=1))
        print(name, "blocks in which the gguf package differs:", differ)
    assert np.array_equal(quants.dequantize(blocks.reshape(len(x), -1), kind), back), name
    golden[name] = text(blocks)
    golden[name + " values"] = text(back)
write("ggml.json", golden)
