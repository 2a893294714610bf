#!/usr/bin/env bash
# A float8 array written by safetensors.numpy, read again by it.
#
# Guess: what save_file takes, load_file gives back, as it does with bfloat16 of ml_dtypes.
# Seen with safetensors 0.8.0, ml_dtypes 0.6.0 and numpy 2.4.6 (Python 3.11): save_file writes arrays of ml_dtypes'
# float8_e4m3fn and float8_e5m2 as F8_E4M3 and F8_E5M2, and load_file raises AttributeError on the file, since it looks for
# these types in numpy itself; bfloat16 goes through both. The file is good: its header says what it holds.
# Fails where that has changed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet numpy==2.4.6 ml_dtypes==0.6.0 safetensors==0.8.0
cd "$dir"
"$dir/venv/bin/python" - <<'PY'
import json, struct
import ml_dtypes, numpy
from safetensors.numpy import load_file, save_file

rows = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
for kind, name in (ml_dtypes.bfloat16, "BF16"), (ml_dtypes.float8_e4m3fn, "F8_E4M3"), (ml_dtypes.float8_e5m2, "F8_E5M2"):
    save_file({"k": rows.astype(kind)}, "rows.safetensors")
    raw = open("rows.safetensors", "rb").read()
    header = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])
    assert header["k"]["dtype"] == name, header
    try:
        seen = load_file("rows.safetensors")["k"].dtype.name
    except AttributeError as e:
        seen = f"AttributeError: {e}"
    print(name, "->", seen)
    assert (name == "BF16") == (seen == "bfloat16")
    assert (name != "BF16") == seen.startswith("AttributeError")
PY
