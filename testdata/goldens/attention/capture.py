"""Captures q, k, v (after the rotary embedding, before repetition) and the attention outputs of tiny models, in float32,
and writes them as version 2 traces with layers.N.o beside: python capture.py OUT_DIR CHECKPOINTS_DIR CONFIGS_DIR"""
import json, math, sys
import torch, transformers
from safetensors.torch import save_file, load_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward as gpt_oss_eager
from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward as gemma2_eager
from transformers.models.llama.modeling_llama import eager_attention_forward as plain_eager
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

out_dir, checkpoints, configs = sys.argv[1:]
captured = {}


def capture(module, q, k, v, mask, **kw):
    kind = module.config.model_type
    eager = gpt_oss_eager if kind == "gpt_oss" else gemma2_eager if kind == "gemma2" else plain_eager
    o, w = eager(module, q, k, v, mask, **kw)
    captured[module.layer_idx] = dict(q=q[0].transpose(0, 1), k=k[0].transpose(0, 1), v=v[0].transpose(0, 1), o=o[0],
                                      scale=kw.get("scaling"), softcap=kw.get("softcap"), sinks=getattr(module, "sinks", None))
    return o, w


ALL_ATTENTION_FUNCTIONS.register("capture", capture)
ALL_MASK_ATTENTION_FUNCTIONS.register("capture", ALL_MASK_ATTENTION_FUNCTIONS["eager"])


def run(name, model, tokens, queries, fields):
    captured.clear()
    with torch.no_grad():
        model(input_ids=tokens)
    cfg = model.config
    tensors, layers = {}, {}
    types = getattr(cfg, "layer_types", None) or ["full_attention"] * cfg.num_hidden_layers
    rope = getattr(cfg, "rope_parameters", None) or {}
    owner = {}  # the layer whose keys and values a layer reads
    for n, c in sorted(captured.items()):
        owner[n] = next((o for o in range(n) if owner[o] == o and captured[o]["k"].shape == c["k"].shape and torch.equal(captured[o]["k"], c["k"])), n)
        for part in "qkv" if owner[n] == n else "q":
            x = c[part][-queries:] if part == "q" else c[part]
            tensors[f"layers.{n}.{part}"] = x.float().contiguous()
        tensors[f"layers.{n}.o"] = c["o"][-queries:].float().contiguous()
        layer = {"scale": float(c["scale"])}
        if c["softcap"]:
            layer["softcap"] = float(c["softcap"])
        if c["sinks"] is not None:
            tensors[f"layers.{n}.sinks"] = c["sinks"].detach().float().contiguous()
        if types[n] == "sliding_attention":
            layer["window"] = cfg.sliding_window
        if types[n] == "chunked_attention":
            layer["chunk"] = cfg.attention_chunk_size
        r = rope.get(types[n], rope)
        if getattr(cfg, "no_rope_layers", None) and not cfg.no_rope_layers[n]:
            layer["rope_theta"] = None
        elif "rope_theta" in r:
            layer["rope_theta"] = float(r["rope_theta"])
        if owner[n] != n:
            layer["kv_from"] = owner[n]
        own = getattr(getattr(model.model, "rotary_emb", None), f"{types[n]}_inv_freq", None)
        if own is not None:
            tensors[f"layers.{n}.rope_inv_freq"] = own.detach().float().contiguous().clone()
        layer.update(fields.get(n, {}))
        layers[str(n)] = layer
    if name == "gpt_oss":  # YaRN: frequencies and a length factor of their own
        for n in captured:
            tensors[f"layers.{n}.rope_inv_freq"] = model.model.rotary_emb.inv_freq.float().contiguous().clone()
            layers[str(n)]["rope_factor"] = float(model.model.rotary_emb.attention_scaling)
    meta = {"format": "kvgauge-trace", "version": "2", "model": name, "source": f"random weights, transformers {transformers.__version__}, float32",
            "num_layers": str(cfg.num_hidden_layers), "layers": json.dumps(layers)}
    save_file(tensors, f"{out_dir}/{name}.safetensors", metadata=meta)
    print(name, {k: list(v.shape) for k, v in tensors.items() if k.startswith("layers.0")}, layers["0"])


queries = 40
for name in ["gemma3_text", "gpt_oss", "mistral_sliding"]:
    ref = load_file(f"{checkpoints}/{name}/reference.safetensors")
    cfg = AutoConfig.from_pretrained(f"{checkpoints}/{name}")
    if name == "mistral_sliding":
        cfg.layer_types = getattr(cfg, "layer_types", None) or ["sliding_attention"] * cfg.num_hidden_layers
    model = AutoModelForCausalLM.from_pretrained(f"{checkpoints}/{name}", config=cfg, attn_implementation="capture", dtype=torch.float32).eval()
    run(name, model, ref["token_ids"][None].long(), queries, {})
    for n, c in captured.items():
        for part in "qkv":
            d = (c[part] - ref[f"layers.{n}.{part}"]).abs().max().item()
            assert d < 1e-5, (name, n, part, d)

torch.manual_seed(7)
from transformers import Gemma2Config, Gemma2ForCausalLM, Llama4TextConfig, Llama4ForCausalLM
ids = torch.randint(0, 300, (1, 96))
g = Gemma2Config(vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                 query_pre_attn_scalar=24, attn_logit_softcapping=3.0, sliding_window=24, initializer_range=0.5)
g._attn_implementation = "capture"
run("gemma2", Gemma2ForCausalLM(g).eval().float(), ids, queries, {})
l = Llama4TextConfig(vocab_size=300, hidden_size=64, intermediate_size=96, intermediate_size_mlp=96, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
                     head_dim=16, attention_chunk_size=40, num_local_experts=2, no_rope_layers=[1, 1, 1, 0], initializer_range=0.3, attn_temperature_tuning=True,
                     floor_scale=16)
l._attn_implementation = "capture"
run("llama4", Llama4ForCausalLM(l).eval().float(), ids, queries, {})

queries = 24
torch.manual_seed(3)
g4 = AutoConfig.from_pretrained(f"{configs}/gemma4_text__shared")  # its last layers read the keys and values of others
g4._attn_implementation = "capture"
run("gemma4", AutoModelForCausalLM.from_config(g4).eval().float(), torch.randint(5, 128, (1, 64)), queries, {})
