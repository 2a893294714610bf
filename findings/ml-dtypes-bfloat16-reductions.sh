#!/usr/bin/env bash
# NumPy reductions of bfloat16 rows, as ml_dtypes gives NumPy that type.
#
# Guess: as with NumPy's own float16, a mean is accumulated in float32, and a sort puts NaN last.
# Seen with ml_dtypes 0.6.0 and numpy 2.4.6 (Python 3.11): sums are rounded to bfloat16 as they grow and stop at 256, so
# that the mean of 1000 ones is 0.2559; and a sort with a NaN among the numbers leaves the others unsorted. The
# mean of a bfloat16 key or value cache taken so is wrong without a word; x.astype(numpy.float32).mean() is right.
# Fails where that has changed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet numpy==2.4.6 ml_dtypes==0.6.0
"$dir/venv/bin/python" - <<'PY'
import ml_dtypes, numpy

ones = numpy.ones(1000)
half, brain = ones.astype(numpy.float16), ones.astype(ml_dtypes.bfloat16)
print("mean of 1000 ones: float16", half.mean(), "bfloat16", brain.mean(), "sum", brain.sum())
assert float(half.mean()) == 1
assert float(brain.sum()) == 256 and abs(float(brain.mean()) - 0.2559) < 1e-3
assert float(brain.astype(numpy.float32).mean()) == 1

rows = numpy.array([1, numpy.nan, 0])
print("sorted with a NaN: float16", numpy.sort(rows.astype(numpy.float16)), "bfloat16", numpy.sort(rows.astype(ml_dtypes.bfloat16)))
assert numpy.sort(rows.astype(numpy.float16))[:2].tolist() == [0, 1]
assert [float(x) for x in numpy.sort(rows.astype(ml_dtypes.bfloat16))][::2] == [1, 0]
PY
