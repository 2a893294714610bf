#!/usr/bin/env bash
# Whether two packages store the same values as the same MXFP4.
#
# Guess: yes but for ties: blocks of 32, a power of two as scale, e2m1 codes; the specification gives the scale as that of the largest
# magnitude, rounded down.
# Seen with gguf 0.19.0 and mlx 0.32.4 (Linux, CPU), normal values: the scale of 28 % of the blocks is one power of two higher in mlx, and 7 %
# of the values differ. gguf follows the specification and clips what lies between 6 and 8 scales; mlx rounds the scale so that it
# is less often so. In the mean the errors are 11.5 and 11.4 %: either is MXFP4 when read, and bytes of the one are not a
# golden for the other.
# Fails where that has changed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet gguf==0.19.0 'mlx[cpu]==0.32.4' numpy==2.4.6
"$dir/venv/bin/python" - <<'PY'
import gguf
import mlx.core as mx
import numpy as np

x = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
kind = gguf.GGMLQuantizationType.MXFP4
block = gguf.quants.quantize(x, kind)
of_gguf = gguf.quants.dequantize(block, kind)
codes, scales = mx.quantize(mx.array(x), mode="mxfp4")
of_mlx = np.array(mx.dequantize(codes, scales, mode="mxfp4").astype(mx.float32))

exponents = block.reshape(64, 4, 17)[..., 0].astype(int)
floor = np.floor(np.log2(np.abs(x).reshape(64, 4, 32).max(2))).astype(int) - 2
higher = np.array(scales).astype(int) - exponents
print(f"mlx's scale is {sorted(set(higher.ravel().tolist()))} powers of two above gguf's, higher in {(higher == 1).mean():.0%} of the blocks; "
      f"{(of_gguf != of_mlx).mean():.1%} of the values differ")
errors = [np.linalg.norm(y - x) / np.linalg.norm(x) for y in (of_gguf, of_mlx)]
print(f"errors: gguf {errors[0]:.2%}, mlx {errors[1]:.2%}")
assert set(higher.ravel().tolist()) == {0, 1} and abs((higher == 1).mean() - 0.28) < 0.01
assert len(set((exponents - floor).ravel().tolist())) == 1  # one bias: the specification's scale throughout
assert abs((of_gguf != of_mlx).mean() - 0.07) < 0.01 and all(abs(e - 0.115) < 0.002 for e in errors)
PY
