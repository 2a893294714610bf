#!/usr/bin/env bash
# What torch makes of values beyond the largest float8 number.
#
# Guess: NaN of float8_e4m3fn, which has no infinity, for whatever would round beyond 448, as of ml_dtypes (and JAX) and of torch's other
# float8 types without infinity; so that a cache whose scales are those of the prompt gives NaN at the first larger key.
# Seen with torch 2.15.0 (Python 3.11, CPU): 448, at any size; of infinity, too, and through torch.compile as well. Its float8_e4m3fnuz gives NaN,
# and ml_dtypes 0.6.0 gives NaN from 465 on for the same type. float8_e5m2 of both goes to infinity. The quantised cache "fp8" of
# transformers 5.24.0, whose scale is fixed by the first tokens, rests on that: it clips what comes later, as the formats of engines do.
# Fails where that has changed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet torch==2.15.0 ml_dtypes==0.6.0 numpy==2.4.6 transformers==5.24.0
"$dir/venv/bin/python" - <<'PY'
import math

import ml_dtypes
import numpy as np
import torch
from transformers import LlamaConfig, QuantizedCache

values = [464.0, 465.0, 500.0, 1e30, math.inf, -math.inf, math.nan]
for name, seen in ("e4m3fn", [448] * 5 + [-448, math.nan]), ("e4m3fnuz", [math.nan] * 7):
    got = torch.tensor(values * 16).to(getattr(torch, "float8_" + name)).float()[:7].tolist()
    print(f"torch float8_{name}: {got}")
    assert np.array_equal(got, seen, equal_nan=True)
got = np.array(values, np.float32).astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
print(f"ml_dtypes float8_e4m3fn: {got.tolist()}")
assert np.array_equal(got, [448] + [math.nan] * 6, equal_nan=True)
assert torch.tensor([6e4, 7e4]).to(torch.float8_e5m2).float().tolist() == [57344, math.inf]

cache = QuantizedCache("fp8", LlamaConfig(num_hidden_layers=1))
cache.update(torch.ones(1, 1, 4, 8), torch.ones(1, 1, 4, 8), 0)
keys, _ = cache.update(torch.full((1, 1, 1, 8), 100.0), torch.ones(1, 1, 1, 8), 0)
print(f"transformers: a key of 100 after a prompt of ones is read as {keys[0, 0, -1, 0].item():.3g}")
assert abs(keys[0, 0, -1].max().item() - 1) < 1e-6
PY
