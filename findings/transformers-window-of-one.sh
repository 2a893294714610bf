#!/usr/bin/env bash
# What transformers caches of a layer whose window is one token.
#
# Guess: a layer with a window of w holds w - 1 earlier tokens between steps, so that with w = 1 it holds none, and with w = 2 one.
# Seen with transformers 5.24.0 and torch 2.15.0 (Python 3.11, CPU): with w = 2 it holds 1 of 8 tokens, with w = 1 all 8, and all
# that follow: the slice that keeps the last w - 1 begins at -0. Bytes reckoned from sliding_window are wrong there.
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
for window, held in (3, 2), (2, 1), (1, 8):
    config = MistralConfig(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                           num_key_value_heads=1, sliding_window=window)
    model, cache = MistralForCausalLM(config).eval(), DynamicCache(config=config)
    with torch.no_grad():
        model(input_ids=torch.arange(8)[None], past_key_values=cache, use_cache=True)
        seen = cache.layers[0].keys.shape[-2]
        model(input_ids=torch.tensor([[9]]), past_key_values=cache, use_cache=True)
    after = cache.layers[0].keys.shape[-2]
    print(f"window {window}: {seen} of 8 tokens are held, {after} of 9")
    assert (seen, after) == (held, 9 if window == 1 else held)
PY
