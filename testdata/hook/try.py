"""Tries the program that `kvgauge trace hook` prints on tiny models with random weights, and holds every trace that it writes
against kvgauge: python try.py HOOK KVGAUGE OUT [--configs FOLDER] [--dtype bfloat16] [NAME...]

With --goldens it writes the small traces beside this file. Tried with transformers 5.24.0 and 4.57.3, torch 2.15.0 (CPU), numpy
2.4.6, safetensors 0.8.0. Every model is either captured, with outputs that `trace info` finds right, or refused for the reason
that is listed; models that a version of transformers does not have are named at the end."""

import argparse
import glob
import importlib.util
import os
import subprocess
import sys
import warnings

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

SMALL = dict(vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
             head_dim=16, max_position_embeddings=2048, pad_token_id=0, bos_token_id=1, eos_token_id=2)
MLA = dict(kv_lora_rank=24, q_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16, num_key_value_heads=4, head_dim=8)
MOE = dict(num_experts=4, num_local_experts=4, num_experts_per_tok=2, n_routed_experts=4, moe_intermediate_size=32)
DEEPSEEK = dict(MLA, **MOE, first_k_dense_replace=1, n_group=1, topk_group=1)
LINEAR = dict(linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=8, head_dim=32)
MAMBA = dict(mamba_n_heads=8, mamba_d_head=16, mamba_d_state=8, mamba_n_groups=1)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=64, rope_theta=10000.0)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64, rope_theta=500000.0)
GPT = dict(n_embd=64, n_layer=3, n_head=4, n_positions=512, rotary_dim=8)

# A name is a model type, with a word after a dash where there is more than one of it; "rope" stands for rope_parameters.
MODELS = {
    "llama": {}, "llama-llama3": dict(rope=LLAMA3), "llama-linear": dict(rope=dict(rope_type="linear", factor=4.0, rope_theta=10000.0)),
    "llama-dynamic": dict(rope=dict(rope_type="dynamic", factor=4.0, rope_theta=10000.0), max_position_embeddings=64),
    "mistral": dict(sliding_window=24), "mistral-wide": dict(sliding_window=512), "ministral": dict(sliding_window=24), "mixtral": MOE,
    "qwen2": dict(use_sliding_window=True, sliding_window=24, max_window_layers=2), "qwen2_moe": dict(MOE, shared_expert_intermediate_size=32),
    "qwen3": {}, "qwen3-yarn": dict(rope=YARN), "qwen3_moe": MOE, "qwen3_next": dict(MOE, **LINEAR, partial_rotary_factor=0.25, shared_expert_intermediate_size=32),
    "qwen3_5_text": LINEAR, "gemma": {}, "gemma2": dict(sliding_window=24, attn_logit_softcapping=3.0, query_pre_attn_scalar=24),
    "gemma3_text": dict(sliding_window=24, num_hidden_layers=7),
    "gemma3n_text": dict(sliding_window=24, num_hidden_layers=10, num_kv_shared_layers=4, hidden_size_per_layer_input=16, vocab_size_per_layer_input=128,
                         laurel_rank=8, activation_sparsity_pattern=None, layer_types=None),
    "vaultgemma": dict(sliding_window=24), "gpt_oss": dict(MOE, sliding_window=24), "llama4_text": dict(attention_chunk_size=24, num_local_experts=2, intermediate_size_mlp=96, no_rope_layers=[1, 1, 1, 0]),
    "deepseek_v2": DEEPSEEK, "deepseek_v3": DEEPSEEK, "deepseek_v3-yarn": dict(DEEPSEEK, rope=dict(YARN, mscale=1.0, mscale_all_dim=1.0)),
    "deepseek_v3-halves": dict(DEEPSEEK, rope_interleave=False), "deepseek_v3-noq": dict(DEEPSEEK, q_lora_rank=None),
    "deepseek_v32": dict(DEEPSEEK, index_topk=16, index_head_dim=16, index_n_heads=2),
    "kimi_linear": dict(MLA, **MOE, linear_attn_config=dict(kda_layers=[1, 2, 3], full_attn_layers=[4], num_heads=4, head_dim=16, short_conv_kernel_size=4)),
    "phi": dict(partial_rotary_factor=0.5), "phi3": dict(sliding_window=None), "phi3-window": dict(sliding_window=24), "phi3-partial": dict(partial_rotary_factor=0.5), "phimoe": MOE,
    "olmo": {}, "olmo2": {}, "olmo3": dict(sliding_window=24), "olmoe": MOE, "cohere": {}, "cohere2": dict(sliding_window=24, sliding_window_pattern=4),
    "glm": dict(partial_rotary_factor=0.5), "glm4": dict(partial_rotary_factor=0.5), "glm4_moe": dict(MOE, partial_rotary_factor=0.5, use_qk_norm=True, n_shared_experts=1, n_group=1, topk_group=1, first_k_dense_replace=1),
    "granite": dict(attention_multiplier=0.05), "granitemoe": dict(MOE, attention_multiplier=0.05),
    "granitemoehybrid": dict(MOE, **MAMBA, layer_types=["mamba", "attention"] * 2, mamba_expand=2, shared_intermediate_size=64, position_embedding_type="rope", attention_multiplier=0.05),
    "bamba": dict(MAMBA, attn_layer_indices=[1, 3]), "falcon_h1": dict(mamba_d_ssm=64, mamba_n_heads=4, mamba_d_head=16, mamba_d_state=8, mamba_n_groups=1),
    "jamba": dict(MOE, attn_layer_period=2, attn_layer_offset=1, mamba_d_state=8, mamba_dt_rank=8, use_mamba_kernels=False), "lfm2": dict(layer_types=["conv", "full_attention"] * 2, block_ff_dim=96, block_multiple_of=8),
    "zamba2": dict(attention_hidden_size=128, attention_head_dim=32, num_key_value_heads=4, layers_block_type=["mamba", "hybrid"] * 2, mamba_d_state=8, n_mamba_heads=8, mamba_headdim=16, mamba_ngroups=1, hybrid_layer_ids=[1, 3], num_mem_blocks=1, adapter_rank=8),
    "recurrent_gemma": dict(lru_width=64, attention_window_size=24, block_types=["recurrent", "recurrent", "attention"]), "minimax": MOE, "olmo_hybrid": {},
    "falcon": dict(head_dim=None), "falcon-alibi": dict(head_dim=None, alibi=True, multi_query=False), "gpt2": GPT, "gpt2-inverse": dict(GPT, scale_attn_by_inverse_layer_idx=True), "gpt_bigcode": GPT,
    "gptj": GPT, "codegen": GPT, "gpt_neox": dict(rotary_pct=0.25), "opt": dict(word_embed_proj_dim=64, ffn_dim=96), "stablelm": dict(partial_rotary_factor=0.5),
    "starcoder2": dict(sliding_window=24), "smollm3": dict(no_rope_layers=[1, 1, 1, 0]), "ernie4_5": {}, "exaone4": dict(sliding_window=24, sliding_window_pattern=4), "hunyuan_v1_dense": {},
    "nemotron": {}, "persimmon": {}, "dots1": dict(MOE, sliding_window=24, max_window_layers=2, n_group=1, topk_group=1, n_shared_experts=1), "apertus": {}, "seed_oss": {}, "arcee": {}, "helium": {},
    "doge": {}, "bitnet": {}, "modernbert-decoder": dict(local_attention=24, global_attn_every_n_layers=3), "mimo_v2_flash": {},
    "bloom": dict(n_layer=3, n_head=4), "mpt": dict(d_model=64, n_heads=4, n_layers=3), "mamba": {}, "jetmoe": dict(MOE, kv_channels=16),
}
# Why models are refused, in any version. Others that have no attention interface in 4.57 are refused there for the first.
UNSEEN = "calls no attention function that can be watched"
REFUSED = {
    "bloom": UNSEEN, "mpt": UNSEEN, "mamba": UNSEEN, "falcon_mamba": UNSEEN, "mamba2": UNSEEN, "gpt_neo": UNSEEN, "gpt_neox_japanese": UNSEEN, "reformer": UNSEEN,
    "rwkv": UNSEEN, "xglm": UNSEEN, "xlnet": UNSEEN, "xlstm": UNSEEN, "gptj": UNSEEN, "codegen": UNSEEN, "ctrl": UNSEEN,
    "deepseek_v32": "keys that are selected", "axk2": "keys that are selected", "qwen4_exp": "keys that are selected", "qwen4_exp_text": "keys that are selected",
    "deepseek_v4": "queries [1, 4, 100, 64] and keys [1, 1, ", "diffllama": "attention is applied twice", "blt": "attention is applied twice",
    "inkling2_text": "attention is handed position_bias and sinks too", "inkling2_loop_text": "attention is handed position_bias", "jetmoe": "in another order",
    "recurrent_gemma": "queries [1, 4, 100, 16] and keys [1, 4, 24, 16]",
}
BROKEN = {"blt", "jamba", "mamba2", "mamba2__b"}  # whose configuration of 5.24 one of the versions itself cannot run
GOLDENS = {"5": ["gemma3n_text", "llama4_text", "qwen3_next", "kimi_linear", "falcon-alibi"], "4": ["gemma2", "gpt_oss", "deepseek_v3-yarn", "cohere2"]}


def config_of(name):
    kind = name.split("-")[0] if name not in CONFIG_MAPPING else name
    fields = {**SMALL, **MODELS[name]}
    rope = fields.pop("rope", None)
    if rope and transformers.__version__ > "5":
        fields["rope_parameters"] = rope
    elif rope:
        fields |= {"rope_theta": rope["rope_theta"], "rope_scaling": {k: v for k, v in rope.items() if k != "rope_theta"}}
    if fields["head_dim"] is None:
        del fields["head_dim"]
    return CONFIG_MAPPING[kind](**fields)


def model_of(config, hook, dtype):
    """A model with random weights that are large enough for attention to prefer some keys."""
    torch.manual_seed(3)
    for kind in ("eager", "sdpa"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=kind)
        scopes = {sys.modules[c.__module__] for m in model.modules() for c in type(m).__mro__}
        if any(hasattr(s, hook.ATTENTION) for s in scopes) or not getattr(model, "_supports_sdpa", False):
            break
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 2:
                p.mul_(8)
            elif "norm" in name:
                p.add_(torch.randn_like(p) * 0.1)
            elif "sink" in name:
                p.normal_()
    return model.eval().to(dtype)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("hook"), p.add_argument("kvgauge"), p.add_argument("out"), p.add_argument("names", nargs="*")
    p.add_argument("--configs"), p.add_argument("--dtype", default="float32"), p.add_argument("--goldens", action="store_true")
    a = p.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    spec = importlib.util.spec_from_file_location("hook", a.hook)
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    names = list(MODELS) + [f"{a.configs}/{os.path.basename(os.path.dirname(f))}" for f in sorted(glob.glob(f"{a.configs}/*/config.json"))] * bool(a.configs)
    if a.goldens:
        names, a.out = GOLDENS[transformers.__version__[0]], os.path.dirname(os.path.abspath(__file__))
    ids = torch.randint(5, 100, (100,), generator=torch.Generator().manual_seed(1)).tolist()
    captured, wrong, absent = 0, [], []
    for name in a.names or names:
        short = os.path.basename(name)
        path = f"{a.out}/{transformers.__version__[:4].rstrip('.')}-{short}.safetensors"
        print("==", short, flush=True)
        try:
            model = model_of(AutoConfig.from_pretrained(name) if "/" in name else config_of(name), hook, getattr(torch, a.dtype))
        except Exception as e:  # this version does not have it, or not so
            absent.append(f"{short} ({type(e).__name__})")
            continue
        try:
            if a.goldens:
                hook.capture(model, ids[:32], path, short, f"random weights, {transformers.__version__}", last=8)
            else:
                hook.capture(model, ids, path, short, "random ids")
        except hook.Refusal as e:
            print("  refused:", e, flush=True)
            if REFUSED.get(short.split("__")[0], "?") not in str(e):
                wrong.append(short)
            continue
        except Exception as e:
            print("  failed:", type(e).__name__, str(e)[:200], flush=True)
            if short not in BROKEN:
                wrong.append(short)
            continue
        info = subprocess.run([a.kvgauge, "trace", "info", path], capture_output=True, text=True)
        if info.returncode or info.stderr:
            print("  not proven:", info.stderr, flush=True)
            wrong.append(short)
        captured += 1
    print(f"{captured} captured; wrong: {wrong or 'none'}; not in transformers {transformers.__version__}: {', '.join(absent) or 'none'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
