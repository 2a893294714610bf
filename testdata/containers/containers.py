"""Writes one small trace in the containers that the libraries of its imports write. Not run by tests.

Made with Python 3.11, numpy 2.4.6, ml_dtypes 0.6.0, safetensors 0.8.0, torch 2.15.0. The values are those of the function
digit of sim/trace/trace_test.go: small integers, exact in every element type.
"""

import json
import pathlib
import pickle

import ml_dtypes
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

OUT = pathlib.Path(__file__).parent
META = {"format": "kvgauge-trace", "version": "2", "model": "m", "scale": "0.25", "rope_theta": "10000", "layers": '{"5":{"window":3}}'}


def digits(name, first, rows, heads):
    t, h, d = np.ogrid[first : first + rows, :heads, :4]
    return ((17 * t + 5 * h + 3 * d + sum(map(ord, name))) % 251 - 125).astype(np.float32)


ROWS = {f"layers.{n}.{kind}": (2, 4, 4) if kind == "q" else (0, 6, 2) for n in (2, 5) for kind in "qkv"}
ARRAYS = {name: digits(name, *shape) for name, shape in ROWS.items()}
SCALARS = {
    "format": "kvgauge-trace", "version": 2, "model": "m",
    "scale": np.float32(0.25), "rope_theta": np.array([10000.0]), "layers": META["layers"],
}  # fmt: skip


def arrays(change):
    return {name: change(a) for name, a in ARRAYS.items()}


def folder(name, contents, meta, version=None):
    (OUT / name).mkdir(exist_ok=True)
    for array, a in contents.items():
        with open(OUT / name / f"{array}.npy", "wb") as f:
            np.lib.format.write_array(f, a, version)
    (OUT / name / "metadata.json").write_text(json.dumps(meta))


np.savez(OUT / "scalars.npz", **SCALARS, **arrays(np.float16))
np.savez(OUT / "bfloat16.npz", **SCALARS, dtype="bfloat16", **arrays(lambda a: a.astype(ml_dtypes.bfloat16)))
np.savez(OUT / "bfloat16-undeclared.npz", **SCALARS, **arrays(lambda a: a.astype(ml_dtypes.bfloat16)))
np.savez(OUT / "fortran.npz", **SCALARS, **arrays(np.asfortranarray))
np.savez_compressed(OUT / "fortran-big-endian-float64.npz", **SCALARS, **arrays(lambda a: np.asfortranarray(a, ">f8")))
np.savez_compressed(OUT / "big-endian.npz", **SCALARS, **arrays(lambda a: a.astype(">f2")))
np.savez(OUT / "float64.npz", **SCALARS, **arrays(np.float64))
np.savez(OUT / "float8.npz", **SCALARS, **arrays(lambda a: a.astype(ml_dtypes.float8_e5m2)))
np.savez(OUT / "objects.npz", **SCALARS, **arrays(lambda a: a.astype(object)))

numbers = {"version": 2, "scale": 0.25, "rope_theta": 1e4, "softcap": None, "layers": {"5": {"window": 3}}, "x_causal": True}
folder("version3", ARRAYS, numbers, (3, 0))
folder("bits", arrays(lambda a: a.astype(ml_dtypes.bfloat16).view(np.uint16)), numbers | {"dtype": "torch.bfloat16"})

safetensors.numpy.save_file(arrays(np.float64), OUT / "float64.safetensors", META)
tensors = arrays(lambda a: torch.from_numpy(a).to(torch.bfloat16))
safetensors.torch.save_file(tensors, OUT / "torch.safetensors", META)
torch.save(tensors, OUT / "checkpoint.pt")
torch.save(tensors, OUT / "legacy.pt", _use_new_zipfile_serialization=False)
(OUT / "arrays.pkl").write_bytes(pickle.dumps(ARRAYS))

# What the reader of safetensors 0.8.0 takes, though no writer makes it: no metadata, and equal keys, the last of which counts.
entries, data = [], b""
for name, a in ARRAYS.items():
    at, data = len(data), data + a.tobytes()
    entries.append(f'"{name}":{{"dtype":"F32","shape":{list(a.shape)},"data_offsets":[{at},{len(data)}]}}')
meta = json.dumps(META)
for name, header, want in [
    ("null-metadata", f'{{"__metadata__":null,{",".join(entries)}}}', None),
    ("equal-keys", f'{{"__metadata__":{meta[:-1]},{meta[1:]},{",".join(entries + entries)}}}', META),
    ("keys-of-two-values", f'{{"__metadata__":{{"scale":"4",{meta[1:]},{",".join(entries)}}}', META),
]:
    path = OUT / f"{name}.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + data)
    read = safetensors.numpy.load_file(path)
    assert read.keys() == ARRAYS.keys() and all((read[name] == a).all() for name, a in ARRAYS.items())
    with safetensors.safe_open(path, "np") as f:
        assert f.metadata() == want

# The writer for numpy of safetensors 0.8.0 takes the memory of a view that is not contiguous for its elements.
view = np.arange(6, dtype=np.float32).reshape(2, 3).T
assert (safetensors.numpy.load(safetensors.numpy.save({"a": view}))["a"] != view).any()
assert (safetensors.numpy.load(safetensors.numpy.save({"a": np.ascontiguousarray(view)}))["a"] == view).all()
