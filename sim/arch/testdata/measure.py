#!/usr/bin/env python3
"""Measures what transformers caches for the configurations of transformers.jsonl, and writes their figures anew.

    pip install transformers==5.24.0 torch==2.15.0 numpy
    python measure.py transformers.jsonl

Each line is one small model with random weights, batch 1, on the CPU: `config` is its configuration, `other` (where there)
the same model in other fields. Written are `bytes`, {prompt length: [after the prompt, after five more tokens]} in
float32, `bfloat16`, the same at a prompt of 40, `layers`, the bytes of each cache layer after a prompt of 100, and `parameters`, the model's own. Bytes
are summed over every tensor that can be reached from the cache object, by its shape; a tensor that is there twice counts
once. The tests read the file alone and never run this.
"""
import inspect
import json
import os
import re
import sys
import tempfile
import warnings

import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
torch.set_num_threads(1)

LENGTHS, STEPS = (8, 40, 100, 300), 5
NO_STATE = {"_sliding_window_tensor", "seqlen_offset"}  # a constant and a counter
OUTPUTS = ("cache", "past_key_values", "cache_params", "past_buckets_states", "mems", "state", "rnn_state")


def tensors(value, path="", seen=None):
    """Yields (path, tensor) for every tensor below value, each once."""
    seen = {} if seen is None else seen
    if value is None or id(value) in seen or isinstance(value, (int, float, str, torch.dtype, torch.device, type)):
        return
    seen[id(value)] = value
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from tensors(v, f"{path}[{i}]", seen)
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from tensors(v, f"{path}[{k!r}]", seen)
    elif not isinstance(value, (transformers.PreTrainedConfig, torch.nn.Module)) and hasattr(value, "__dict__"):
        for k, v in vars(value).items():
            if k not in NO_STATE and not inspect.isroutine(v):
                yield from tensors(v, f"{path}.{k}", seen)


def total(cache):
    return sum(t.numel() * t.element_size() for _, t in tensors(cache))


def by_layer(cache):
    """Bytes of each cache layer, where the cache has layers."""
    out = {}
    for path, t in tensors(cache):
        m = re.match(r"\.layers\[(\d+)\]", path)
        if not m:
            return None
        out[int(m[1])] = out.get(int(m[1]), 0) + t.numel() * t.element_size()
    return [out.get(i, 0) for i in range(max(out) + 1)] if out else None


def load(config, dtype):
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "config.json"), "w") as f:
            json.dump(config, f)
        c = AutoConfig.from_pretrained(d)
    torch.manual_seed(0)
    if c.model_type in ("musicgen", "musicgen_melody"):  # the decoder is the model of text
        name = {"musicgen": "MusicgenForCausalLM", "musicgen_melody": "MusicgenMelodyForCausalLM"}[c.model_type]
        return getattr(transformers, name)(c.decoder).to(dtype).eval()
    if c.model_type not in CAUSAL:  # models of more than text: their part for it
        return AutoModel.from_config(c.get_text_config(), dtype=dtype).eval()
    return AutoModelForCausalLM.from_config(c, dtype=dtype).eval()


def run(model, n):
    """Yields the cache after a prompt of n tokens, and after STEPS more."""
    c = model.config
    rows = getattr(c, "num_codebooks", 1) if "musicgen" in c.model_type else 1
    ids = torch.randint(3, 90, (rows, n + STEPS))
    extra = {}
    if c.model_type == "recurrent_gemma":  # returns no cache of its own
        extra = {"cache": DynamicCache(config=c)}
    if c.model_type == "blt":  # BltConfig lacks num_hidden_layers, so that the default cannot be made
        extra = {"past_key_values": EncoderDecoderCache(DynamicCache(), DynamicCache())}

    def step(inputs, at, given):
        if c.model_type == "recurrent_gemma":
            given["position_ids"] = torch.arange(at, at + inputs.shape[1])[None]
        with torch.no_grad():
            out = model(input_ids=inputs, use_cache=True, **given)
        for name in OUTPUTS:
            if getattr(out, name, None) is not None:
                return name, getattr(out, name)
        return next((k, v) for k, v in given.items() if "position" not in k)

    name, cache = step(ids[:, :n], 0, dict(extra))
    yield cache
    if name == "past_key_values" and "cache" in inspect.signature(model.forward).parameters:
        name = "cache"
    for i in range(n, n + STEPS):
        inputs = ids[:, : i + 1] if c.model_type == "cpmant" else ids[:, i : i + 1]
        _, cache = step(inputs, i, {name: cache})
    yield cache


def measure(case):
    model = load(case["config"], torch.float32)
    case["parameters"] = sum(p.numel() for p in model.parameters())
    case["bytes"] = {}
    for n in LENGTHS:
        caches = run(model, n)
        cache = next(caches)
        before = total(cache)
        if n == 100:
            case["layers"] = by_layer(cache)
        case["bytes"][str(n)] = [before, total(next(caches))]
    try:
        case["bfloat16"] = [total(c) for c in run(load(case["config"], torch.bfloat16), 40)]
    except RuntimeError:  # some models do not run in it on the CPU
        case["bfloat16"] = None
    return case


if __name__ == "__main__":
    path = sys.argv[1]
    with open(path) as f:
        cases = [json.loads(line) for line in f]
    with open(path + ".new", "w") as f:
        for case in cases:
            print(case["name"], file=sys.stderr, flush=True)
            f.write(json.dumps(measure(case), separators=(",", ":")) + "\n")
    os.replace(path + ".new", path)
