#!/usr/bin/env bash
# What a layer with a window holds right after the prompt in transformers.
#
# Guess: w - 1 rows of keys and as many of values, as the shapes of the cache's tensors say and as documented.
# Seen with transformers 5.24.0 and torch 2.15.0 (Python 3.11, CPU), a prompt of 1,024 tokens in one pass, w = 64: the tensors are views of
# 63 rows, and their storage is that of all 1,024, in every layer, until the first token after the prompt. Between the two the cache takes
# what it would without windows: that is the largest moment, and not what the shapes say. Prompts in several passes free the earlier ones.
# Fails where that has changed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet transformers==5.24.0 torch==2.15.0
"$dir/venv/bin/python" - <<'PY'
import torch
from transformers import DynamicCache, MistralConfig, MistralForCausalLM

torch.manual_seed(0)
config = MistralConfig(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
                       num_key_value_heads=1, sliding_window=64)
model = MistralForCausalLM(config).eval()


def held(cache):
    """Rows that the tensors of each layer show, and rows that their storage has."""
    return [(keys.shape[-2], keys.untyped_storage().nbytes() // (keys.element_size() * keys.shape[-1]))
            for keys in (layer.keys for layer in cache.layers)]


prompt, token = torch.arange(1024)[None] % 64, torch.tensor([[9]])
with torch.no_grad():
    cache = DynamicCache(config=config)
    model(input_ids=prompt, past_key_values=cache)
    print(f"after the prompt: (rows shown, rows stored) {held(cache)}")
    assert held(cache) == [(63, 1024)] * 3
    model(input_ids=token, past_key_values=cache)
    print(f"after one token more: {held(cache)}")
    assert held(cache) == [(63, 64)] * 3
    cache = DynamicCache(config=config)
    for part in prompt.split(256, dim=1):
        model(input_ids=part, past_key_values=cache)
    print(f"after the prompt in four passes: {held(cache)}")
    assert held(cache) == [(63, 63 + 256)] * 3
PY
