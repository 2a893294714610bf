#!/usr/bin/env bash
# Whether Gemma 3 caps its logits where its configuration says so.
#
# Guess: attn_logit_softcapping of a Gemma 3 configuration caps the logits of attention, as that of Gemma 2 does: both classes have
# the field, and both attention modules read it.
# Seen with transformers 5.24.0 and torch 2.15.0 (Python 3.11, CPU): a cap of 0.01 changes what Gemma 2 puts out and nothing of
# Gemma 3, whose module keeps the number and never hands it to attention. Published checkpoints have none; a program that honours
# the field computes something else than transformers does.
# Fails where that has changed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet transformers==5.24.0 torch==2.15.0
"$dir/venv/bin/python" - <<'PY'
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig

tokens = torch.arange(16)[None]
for kind, config, capped in (Gemma2ForCausalLM, Gemma2Config, True), (Gemma3ForCausalLM, Gemma3TextConfig, False):
    logits = []
    for cap in None, 0.01:
        torch.manual_seed(0)
        c = config(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                   head_dim=16, sliding_window=8, attn_logit_softcapping=cap, initializer_range=0.5)
        c._attn_implementation = "eager"
        model = kind(c).eval()
        with torch.no_grad():
            logits.append(model(input_ids=tokens).logits)
        assert model.model.layers[0].self_attn.attn_logit_softcapping == cap
    off = (logits[0] - logits[1]).abs().max().item()
    print(kind.__name__, "with a cap of 0.01: logits differ by", off)
    assert (off > 1e-3) == capped and (off == 0) != capped
PY
