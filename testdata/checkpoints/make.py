"""Makes the tiny checkpoints of this folder, with what transformers computes from them in float32, and ropes.json.

Made with transformers 5.24.0 and torch 2 on a CPU:  python make.py
Each folder has what save_pretrained writes and reference.safetensors: token_ids, logits, greedy (the continuation by arg max), and
layers.N.q|k|v|o as handed to, and put out by, the attention function.
"""

import json
import os
import shutil
import sys

import torch
import transformers as tf
from safetensors.torch import save_file
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

tf.logging.set_verbosity_error()
HERE = os.path.dirname(os.path.abspath(__file__))
TOKENS, GREEDY = 40, 8
BASE = dict(
    vocab_size=60, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=256, pad_token_id=None, bos_token_id=0, eos_token_id=1,
)


def build(name, config, make=None, dtype=torch.float16, shards=None, older=None):
    torch.manual_seed(sum(map(ord, name)))
    make = make or tf.AutoModelForCausalLM
    model = make.from_config(config) if make is tf.AutoModelForCausalLM else make(config)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if p.ndim > 1:
                p.copy_(torch.randn_like(p) / p.shape[-1] ** 0.5)
            else:  # norms, biases, sinks
                p.copy_(torch.randn_like(p) * 0.2 + ("norm" in n and "gemma" not in name))
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.to(dtype).save_pretrained(folder, **({} if shards is None else {"max_shard_size": shards}))
    if os.path.exists(f"{folder}/generation_config.json"):
        os.remove(f"{folder}/generation_config.json")
    if older:  # as version 4 wrote it
        path = f"{folder}/config.json"
        fields = json.load(open(path))
        older(fields)
        json.dump(fields, open(path, "w"), indent=1)
    model = make.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    module, kept = sys.modules[type(model).__module__], {}
    eager = module.eager_attention_forward

    def attention(layer, q, k, v, *args, **kwargs):
        out = eager(layer, q, k, v, *args, **kwargs)
        for kind, rows in {"q": q, "k": k, "v": v}.items():
            kept[f"layers.{layer.layer_idx}.{kind}"] = rows[0].transpose(0, 1).contiguous()
        kept[f"layers.{layer.layer_idx}.o"] = out[0][0].contiguous()
        return out

    module.eager_attention_forward = attention
    ids = torch.randint(0, config.get_text_config().vocab_size, (1, TOKENS), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        reference = {"logits": model(input_ids=ids).logits[0].contiguous()}
        reference |= dict(kept)
        reference["token_ids"] = ids[0].int()
        for _ in range(GREEDY):
            ids = torch.cat([ids, model(input_ids=ids).logits[0, -1:].argmax(-1)[None]], 1)
    module.eager_attention_forward = eager
    reference["greedy"] = ids[0, TOKENS:].int()
    save_file(reference, f"{folder}/reference.safetensors")


def flat(fields):
    rope = fields.pop("rope_parameters")
    fields["rope_theta"] = rope.pop("rope_theta")
    if rope.pop("rope_type") != "default":
        fields["rope_scaling"] = rope | {"type": "linear"}
    fields["torch_dtype"] = fields.pop("dtype")
    for name in ("head_dim", "layer_types"):
        fields.pop(name, None)


def gemma3_flat(fields):
    text = fields.get("text_config", fields)
    text.pop("rope_parameters")
    text |= {"rope_theta": 5e5, "rope_local_base_freq": 2e4, "rope_scaling": {"rope_type": "linear", "factor": 4.0}, "sliding_window_pattern": 2}
    for name in ("layer_types", "_sliding_window_pattern", "rms_norm_eps"):
        text.pop(name, None)


def rope(type, theta=1e4, **more):
    return {"rope_parameters": {"rope_type": type, "rope_theta": theta} | more}


CHECKPOINTS = {
    "llama": lambda n: build(n, tf.LlamaConfig(**BASE | dict(rms_norm_eps=1e-5)), dtype=torch.float32),
    "llama_older": lambda n: build(n, tf.LlamaConfig(**BASE | rope("linear", 5e4, factor=2.0)), older=flat),
    "llama_biases": lambda n: build(n, tf.LlamaConfig(**BASE | dict(tie_word_embeddings=True, attention_bias=True, mlp_bias=True, head_dim=12, hidden_act="gelu"))),
    "llama_shards": lambda n: build(n, tf.LlamaConfig(**BASE | dict(num_key_value_heads=1)), dtype=torch.bfloat16, shards="12KB"),
    "mistral": lambda n: build(n, tf.MistralConfig(**BASE | dict(sliding_window=9, head_dim=10))),
    "qwen2": lambda n: build(n, tf.Qwen2Config(**BASE | dict(vocab_size=424, tie_word_embeddings=True, use_sliding_window=True, sliding_window=7, max_window_layers=1)), dtype=torch.bfloat16),
    "qwen3": lambda n: build(n, tf.Qwen3Config(**BASE | dict(head_dim=12, attention_bias=True) | rope("yarn", factor=4.0, original_max_position_embeddings=16))),
    "qwen3_moe": lambda n: build(n, tf.Qwen3MoeConfig(**BASE | dict(num_hidden_layers=3, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=12, norm_topk_prob=True, mlp_only_layers=[1]))),
    "smollm3": lambda n: build(n, tf.SmolLM3Config(**BASE | dict(num_hidden_layers=3, no_rope_layers=[1, 0, 1], use_sliding_window=True, sliding_window=9))),
    "phi3": lambda n: build(n, tf.Phi3Config(**BASE | dict(hidden_size=64, original_max_position_embeddings=32, sliding_window=30)
                            | rope("longrope", short_factor=[1.0 + i / 10 for i in range(6)], long_factor=[2.0 + i for i in range(6)], partial_rotary_factor=0.75))),
    "olmo2": lambda n: build(n, tf.Olmo2Config(**BASE | dict(attention_bias=True))),
    "granite": lambda n: build(n, tf.GraniteConfig(**BASE | dict(embedding_multiplier=12.0, logits_scaling=8.0, residual_multiplier=0.22, attention_multiplier=0.0625, mlp_bias=True))),
    "gemma2": lambda n: build(n, tf.Gemma2Config(**BASE | dict(head_dim=12, query_pre_attn_scalar=20, sliding_window=9, attn_logit_softcapping=3.0, final_logit_softcapping=4.0))),
    "gemma3_text": lambda n: build(n, tf.Gemma3TextConfig(**BASE | dict(num_hidden_layers=3, head_dim=8, query_pre_attn_scalar=10, sliding_window=9, final_logit_softcapping=5.0)), older=gemma3_flat),
    "gemma3": lambda n: build(n, tf.Gemma3Config(
        text_config=tf.Gemma3TextConfig(**BASE | dict(head_dim=8, query_pre_attn_scalar=10, sliding_window=9, layer_types=["full_attention", "sliding_attention"])).to_dict(),
        vision_config=dict(model_type="siglip_vision_model", hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1, image_size=28, patch_size=14),
        mm_tokens_per_image=1), make=tf.Gemma3ForConditionalGeneration),
    "gpt_oss": lambda n: build(n, tf.GptOssConfig(**BASE | dict(head_dim=8, num_local_experts=3, num_experts_per_tok=2, sliding_window=9, intermediate_size=16, swiglu_limit=1.0)), dtype=torch.bfloat16),
}

# Rotary embeddings: configurations, lengths of the text, and the frequencies and the length factor of transformers.
ROPES = [
    (rope("linear", factor=4.0), 8),
    (rope("dynamic", factor=3.0), 100),
    (rope("dynamic", factor=3.0), 700),
    (rope("llama3", 5e5, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128), 8),
    (rope("yarn", factor=4.0, original_max_position_embeddings=64), 8),
    (rope("yarn", 1.5e5, factor=32.0, original_max_position_embeddings=64, beta_fast=16.0, beta_slow=2.0, truncate=False), 8),
    (rope("yarn", factor=8.0, original_max_position_embeddings=32, mscale=0.7, mscale_all_dim=1.3), 8),
    (rope("yarn", factor=8.0, original_max_position_embeddings=32, attention_factor=1.7), 8),
]


def ropes():
    out = []
    for fields, tokens in ROPES:
        config = tf.LlamaConfig(**BASE | dict(head_dim=64) | fields)
        kind = config.rope_parameters["rope_type"]
        inv, factor = ROPE_INIT_FUNCTIONS[kind](config, seq_len=tokens)
        out.append({"config": fields | {"head_dim": 64, "max_position_embeddings": 256}, "tokens": tokens, "inv_freq": inv.tolist(), "factor": factor})
    json.dump(out, open(f"{HERE}/ropes.json", "w"), indent=1)


if __name__ == "__main__":
    for name in sys.argv[1:] or CHECKPOINTS:
        CHECKPOINTS[name](name)
    ropes()
