"""Captures the latents of a tiny DeepSeek-V3 with random weights, in float32, as its cache holds them, with the queries (after the
rotary embedding), the up-projection of each layer and the attention outputs: python capture_latent.py OUT_DIR"""
import json, sys
import torch, transformers
from safetensors.torch import save_file
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, DynamicCache
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.deepseek_v3.modeling_deepseek_v3 import eager_attention_forward

captured = {}


def capture(module, q, k, v, mask, **kw):
    o, w = eager_attention_forward(module, q, k, v, mask, **kw)
    captured[module.layer_idx] = dict(module=module, q=q[0].transpose(0, 1), k=k[0], v=v[0], o=o[0], scale=kw["scaling"])
    return o, w


ALL_ATTENTION_FUNCTIONS.register("capture", capture)
ALL_MASK_ATTENTION_FUNCTIONS.register("capture", ALL_MASK_ATTENTION_FUNCTIONS["eager"])

torch.manual_seed(11)
cfg = DeepseekV3Config(vocab_size=300, hidden_size=64, intermediate_size=96, moe_intermediate_size=32, num_hidden_layers=3, num_attention_heads=4,
                       num_key_value_heads=4, n_routed_experts=4, n_group=1, topk_group=1, num_experts_per_tok=2, n_shared_experts=1,
                       first_k_dense_replace=1, kv_lora_rank=32, q_lora_rank=24, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=12,
                       max_position_embeddings=256, initializer_range=0.3, rope_theta=10000.0,
                       rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "mscale": 1.0, "mscale_all_dim": 0.7})
cfg._attn_implementation = "capture"
model = DeepseekV3ForCausalLM(cfg).eval().float()
tokens, queries = torch.randint(0, 300, (1, 96)), 40
cache = DynamicCache(config=cfg)
with torch.no_grad():
    model(input_ids=tokens, past_key_values=cache, use_cache=True)

tensors, layers = {}, {}
for n, x in sorted(captured.items()):
    c, k_rope = cache.layers[n].keys[0, 0], cache.layers[n].values[0, 0]  # what a layer caches, of all heads
    w = x["module"].kv_b_proj.weight.detach().view(4, 16 + 12, 32)
    w_uk, w_uv = w[:, :16], w[:, 16:]
    assert torch.allclose(x["k"][:, :, :16], torch.einsum("tr,hnr->htn", c, w_uk), atol=1e-4)
    assert torch.allclose(x["v"], torch.einsum("tr,hvr->htv", c, w_uv), atol=1e-4)
    assert all(torch.equal(x["k"][h, :, 16:], k_rope) for h in range(4))
    for name, t in dict(q=x["q"][-queries:], c=c, k_rope=k_rope, w_uk=w_uk, w_uv=w_uv, o=x["o"][-queries:],
                        rope_inv_freq=model.model.rotary_emb.inv_freq).items():
        tensors[f"layers.{n}.{name}"] = t.detach().float().contiguous().clone()
    layers[str(n)] = {"scale": float(x["scale"]), "rope_theta": 10000.0, "rope_factor": float(model.model.rotary_emb.attention_scaling)}
meta = {"format": "kvgauge-trace", "version": "2", "model": "deepseek_v3", "source": f"random weights, transformers {transformers.__version__}, float32",
        "num_layers": "3", "layers": json.dumps(layers)}
save_file(tensors, f"{sys.argv[1]}/deepseek_v3.safetensors", metadata=meta)
print({k: list(v.shape) for k, v in tensors.items() if k.startswith("layers.0")}, layers["0"])
