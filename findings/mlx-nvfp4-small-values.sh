#!/usr/bin/env bash
# What NVFP4 of mlx makes of small values.
#
# Guess: about 9 % error whatever the size of the values, as at size 1: a block of 16 has its own scale.
# Seen with mlx 0.32.4 (Linux, CPU): values of deviation .01 lose 13 %, of .003 57 %, of .001 everything: mlx.core.quantize(mode="nvfp4")
# has no scale of the tensor unless global_scale= gives one, and the scale of a block, a float8 (e4m3), is nothing below 2^-10. From 1e4 on
# the scales end, too, at 448, and 80 % is lost. With global_scale, the largest magnitude, .001 is as good as 1. The modes mxfp4 and mxfp8,
# whose scales are powers of two, do not mind.
# Fails where that has changed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' numpy==2.4.6
"$dir/venv/bin/python" - <<'PY'
import mlx.core as mx
import numpy as np

normal = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)


def error(size, mode, **scale):
    x = normal * np.float32(size)
    y = mx.dequantize(*mx.quantize(mx.array(x), mode=mode, **scale), mode=mode, **scale)
    return np.linalg.norm(np.array(y.astype(mx.float32)) - x) / np.linalg.norm(x)


for size, seen in (1e4, 0.80), (1, 0.09), (0.1, 0.09), (0.01, 0.13), (0.003, 0.57), (0.001, 1):
    lost = error(size, "nvfp4")
    print(f"nvfp4, values of size {size:g}: {lost:.1%} lost")
    assert abs(lost - seen) < 0.02
whole = error(0.001, "nvfp4", global_scale=mx.array(np.abs(normal).max() * np.float32(0.001)))
print(f"with global_scale, values of size 0.001: {whole:.1%}")
assert whole < 0.1
for mode, seen in ("mxfp4", 0.115), ("mxfp8", 0.027):
    assert abs(error(0.001, mode) - seen) < 0.005 and abs(error(1, mode) - seen) < 0.005
PY
