#!/usr/bin/env bash
# How many tokens kvpress keeps of a prompt.
#
# Guess: compression_ratio=.9 keeps 100 of 1,000 tokens, and .8 keeps 200.
# Seen with kvpress 0.5.5, transformers 5.2.0 and torch 2.15.0 (Python 3.11, CPU): 99 and 199; .5, .7 and .75 keep what they should. The number is
# length * (1 - ratio), cut to an integer, and 1 - .9 is .09999999999999998 in binary. A comparison at equal budgets has to ask
# for the number, not for the ratio.
# Fails where that has changed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet kvpress==0.5.5 transformers==5.2.0 torch==2.15.0
"$dir/venv/bin/python" - <<'PY'
import torch
from kvpress import KnormPress
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1)
model = LlamaForCausalLM(config).eval()
for ratio, kept in (0.5, 500), (0.7, 300), (0.75, 250), (0.8, 199), (0.9, 99):
    cache = DynamicCache(config=config)
    with torch.no_grad(), KnormPress(compression_ratio=ratio)(model):
        model(input_ids=torch.arange(1000)[None] % 64, past_key_values=cache)
    got = cache.layers[0].keys.shape[-2]
    print(f"compression_ratio {ratio}: {got} of 1000 tokens are kept")
    assert got == kept
PY
