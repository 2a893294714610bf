package arch

// Families that many types share.
var (
	mha = family{keys: attention(heads, headShare)}   // as many KV heads as query heads, of hidden_size / heads
	gqa = family{keys: attention(kvHeads, headDim)}   // KV heads may be fewer, head_dim may be apart
	kv  = family{keys: attention(kvGiven, headDim)}   // KV heads are always said
	dim = family{keys: attention(kvGiven, headGiven)} // and head_dim is
	mla = family{keys: latent}                        // multi-head latent attention
	dsa = family{keys: latent, index: indexer}.with(uniform(indexed))
	gpt = mha.called("hidden_size", "n_embd", "num_attention_heads", "n_head", "num_hidden_layers", "n_layer",
		"max_position_embeddings", "n_positions")
	bert    = mha.with(decoder)
	seq2seq = mha.called("hidden_size", "d_model", "num_attention_heads", "decoder_attention_heads", "num_hidden_layers", "decoder_layers")
	hybrid  = family{keys: attention(kvGiven, headGiven), state: gatedDelta}.
		with(every(either("full_attention_interval", constant(4)), full, linear))
	gemma4 = family{keys: attention(kvGiven, headGiven), loop: shareLast}.
		with(bidirectional("all"), every(constant(6), full, sliding), lastIsFull, globalLayers)
	inkling = family{keys: inklingKeys, state: inklingState}.
		called("sliding_window", "sliding_window_size", "conv_kernel_size", "sconv_kernel_size", "max_position_embeddings", "model_max_length")
)

// The sizes of Gemma 3 4B, which its configuration leaves out.
var (
	gemmaHeads = either("num_attention_heads", constant(8))
	gemmaDim   = either("head_dim", constant(256))
)

// types is the table: what transformers 5.24.0 caches for each model type that generates text with a causal cache.
// Constants are the defaults of its configuration classes, where released configurations leave the field out.
var types = map[string]family{
	// Keys and values of every layer.
	"apertus":           gqa,
	"apertus1p5_text":   gqa,
	"arcee":             gqa,
	"aria_text":         gqa,
	"biogpt":            mha,
	"bitnet":            kv,
	"cohere":            gqa,
	"diffllama":         gqa,
	"doge":              gqa,
	"emu3_text_model":   kv,
	"ernie4_5":          dim,
	"ernie4_5_moe":      kv,
	"exaone":            kv.called("num_hidden_layers", "num_layers"),
	"flex_olmo":         gqa,
	"gemma":             dim,
	"git":               mha,
	"glm":               dim,
	"glm4":              dim,
	"glm4_moe":          kv,
	"gpt_neox":          mha,
	"gpt_neox_japanese": mha,
	"granite":           gqa,
	"granitemoe":        gqa,
	"granitemoeshared":  gqa,
	"helium":            dim,
	"hunyuan_v1_dense":  gqa,
	"hunyuan_v1_moe":    gqa,
	"hy_v3":             dim,
	"hyperclovax":       gqa,
	"internlm3":         dim,
	"iquestcoder":       dim,
	"jais2":             gqa,
	"llama":             gqa,
	"minimax_m2":        dim,
	"ministral3":        dim,
	"mistral":           kv.with(saysWindow),
	"mixtral":           kv,
	"moshi":             gqa.with(saysWindow),
	"nanochat":          gqa,
	"nemotron":          kv,
	"olmo":              gqa,
	"olmo2":             gqa,
	"olmoe":             gqa,
	"opt":               mha,
	"persimmon":         mha,
	"phi":               gqa,
	"phi3":              gqa,
	"phi4_multimodal":   kv,
	"phimoe":            kv,
	"sarvam_moe":        dim,
	"seed_oss":          dim,
	"solar_open":        dim,
	"stablelm":          {keys: attention(kvGiven, headShare)},
	"starcoder2":        kv,

	// Text of models that also see or hear.
	"glm4v_moe_text":    kv,
	"glm4v_text":        {keys: attention(kvGiven, headShare)},
	"qwen2_5_vl_text":   family{keys: attention(kvGiven, headShare)}.with(usedWindow, lateWindow),
	"qwen2_vl_text":     family{keys: attention(kvGiven, headShare)}.with(usedWindow, lateWindow),
	"qwen3_vl_moe_text": kv.with(noWindow),
	"qwen3_vl_text":     dim,

	// The same with names of their own.
	"bloom":   mha.called("hidden_size", "n_embed", "num_attention_heads", "n_head", "num_hidden_layers", "n_layer"),
	"codegen": gpt,
	"cpmant":  {keys: prompted},
	"ctrl":    gpt,
	"dbrx": family{keys: attention(dbrxHeads, headShare)}.
		called("hidden_size", "d_model", "num_attention_heads", "n_heads", "num_hidden_layers", "n_layers", "max_position_embeddings", "max_seq_len",
			"num_key_value_heads", "attn_config.kv_n_heads"),
	"falcon": family{keys: attention(falconHeads, headShare)}.
		called("hidden_size", "n_embed", "num_hidden_layers", "n_layer", "num_attention_heads", "n_head"),
	"gpt-sw3": gpt,
	"gpt2":    gpt,
	"gptj":    gpt,
	"jetmoe":  {keys: attentionOf(jetmoeQueries, kvGiven, field("kv_channels"), field("kv_channels")), alias: names("kv_channels", "head_dim")},
	"mpt": mha.called("hidden_size", "d_model", "num_attention_heads", "n_heads", "num_hidden_layers", "n_layers",
		"max_position_embeddings", "max_seq_len"),
	"xglm":        mha.called("hidden_size", "d_model", "num_attention_heads", "attention_heads", "num_hidden_layers", "num_layers"),
	"gpt_neo":     family{keys: localKeys}.called("num_attention_heads", "num_heads", "num_hidden_layers", "num_layers"),
	"gpt_bigcode": {keys: attention(bigcodeHeads, headShare), alias: gpt.alias},

	// Encoders that are used as decoders, and the decoders of pairs.
	"bart":                    seq2seq,
	"bert":                    bert,
	"bert-generation":         bert,
	"big_bird":                bert,
	"bigbird_pegasus":         seq2seq,
	"blenderbot":              seq2seq,
	"blenderbot-small":        seq2seq,
	"camembert":               bert,
	"data2vec-text":           bert,
	"electra":                 bert,
	"ernie":                   bert,
	"marian":                  seq2seq,
	"mbart":                   seq2seq,
	"megatron-bert":           bert,
	"mvp":                     seq2seq,
	"pegasus":                 seq2seq,
	"plbart":                  seq2seq,
	"prophetnet":              mha.called("num_attention_heads", "num_decoder_attention_heads", "num_hidden_layers", "num_decoder_layers"),
	"rembert":                 bert,
	"roberta":                 bert,
	"roberta-prelayernorm":    bert,
	"roc_bert":                bert,
	"roformer":                bert,
	"trocr":                   seq2seq,
	"whisper":                 seq2seq.called("max_position_embeddings", "max_target_positions"),
	"xlm-roberta":             bert,
	"xlm-roberta-xl":          bert,
	"xmod":                    bert,
	"musicgen_decoder":        mha,
	"musicgen_melody_decoder": mha,

	// Sliding windows and chunks.
	"afmoe":               family{keys: attention(kvHeads, headGiven)}.with(every(either("global_attn_every_n_layers", constant(4)), full, sliding)),
	"beam":                dim.with(lastFull(every(constant(6), full, sliding))),
	"cohere2":             gqa.with(every(either("sliding_window_pattern", constant(4)), full, sliding)),
	"cohere2_moe":         family{keys: attention(kvHeads, headGiven)}.with(cohereLayers),
	"cohere_compass_text": gqa.with(uniform(full)),
	"cwm":                 dim.with(fixed(func(i int) bool { return i%4 == 0 }, full, sliding)),
	"dots1":               kv.with(lateWindow),
	"exaone4":             kv.with(every(either("sliding_window_pattern", constant(4)), full, sliding)),
	"exaone_moe":          kv.with(every(either("sliding_window_pattern", constant(4)), full, sliding)),
	"flint":               dim.with(flintLayers),
	"gemma2":              dim.with(every(constant(2), full, sliding)),
	"gemma3_text": family{keys: attentionOf(gemmaHeads, either("num_key_value_heads", constant(4)), gemmaDim, gemmaDim)}.
		with(bidirectional(true), every(either("sliding_window_pattern", constant(6)), full, sliding)),
	"gpt_oss":            dim.with(every(constant(2), full, sliding)),
	"granite_swa":        kv.with(fixed(func(i int) bool { return i%4 == 0 }, full, sliding)),
	"granitemoe_swa":     gqa.with(fixed(func(i int) bool { return i%4 == 0 }, full, sliding)),
	"kolibri1":           dim.with(every(constant(5), full, sliding)),
	"laguna":             family{keys: lagunaKeys}.with(uniform(full)),
	"llama4_text":        dim.with(llama4Layers),
	"mellum":             dim.with(uniform(full)),
	"mimo_v2_flash":      family{keys: mimoKeys}.with(mimoWindow, fixed(func(i int) bool { return i == 0 || (i+1)%6 == 0 }, full, sliding)),
	"ministral":          kv.with(saysWindow, windowed),
	"modernbert-decoder": mha.with(modernbertWindow, pattern(modernbertLayer)),
	"olmo3":              gqa.with(every(constant(4), full, sliding)),
	"qwen2":              kv.with(usedWindow, lateWindow),
	"qwen2_moe":          kv.with(pattern(qwen2MoeLayer)),
	"qwen3":              dim.with(usedWindow, lateWindow),
	"qwen3_moe":          kv.with(usedWindow),
	"smollm3":            kv.with(pattern(smollm3Layer)),
	"vaultgemma":         dim.with(every(constant(2), full, sliding)),

	// Layers that read the keys and values of others.
	"gemma3n_text":        family{keys: attention(kvGiven, headGiven), loop: shareLast}.with(saysShared, every(constant(5), full, sliding)),
	"gemma4_text":         gemma4,
	"gemma4_unified_text": gemma4,

	// Layers that are run more than once.
	"dory":     family{keys: attention(kvGiven, headGiven), loop: doryLoops}.with(doryBlocks, every(constant(4), full, sliding)),
	"hrm_text": family{keys: attention(heads, headGiven)}.with(hrmLayers),
	"inkling2_loop_text": family{keys: inkling.keys, state: inkling.state, alias: inkling.alias, loop: inklingLoops}.
		with(inklingLoopFields, every(constant(6), "hybrid", "hybrid_sliding")),

	// Latents.
	"axk1":            mla,
	"deepseek_v2":     mla,
	"deepseek_v3":     mla,
	"glm4_moe_lite":   mla,
	"longcat_flash":   mla.with(twice("num_layers")),
	"minicpm3":        mla,
	"sarvam_mla":      mla,
	"youtu":           mla,
	"axk2":            dsa,
	"deepseek_v32":    dsa,
	"dots3_note_text": {keys: latent, index: floatIndexer, derive: []derive{dotsLayers}},
	"glm_moe_dsa":     family{keys: latent, index: shareable}.with(uniform(indexed), glmIndexers),
	"hy_v4":           family{keys: latent, index: shareable}.with(uniform(indexed), hunyuanIndexers),
	"deepseek_v4":     family{keys: compressedKeys, state: compressor, index: compressedIndex}.with(compressedLayers),

	// Attention with an indexer.
	"minimax_m3_vl_text": family{keys: attention(kvGiven, headGiven), index: minimaxIndexer}.with(minimaxSparse, uniform(full)),
	"qwen4_exp_text": family{keys: attention(kvGiven, headGiven), index: qwen4Indexer, state: qwen4State}.
		with(qwen4Layers, every(either("full_attention_interval", constant(4)), indexed, linear)),

	// States, with and without attention.
	"bailing_hybrid":   family{keys: latent, state: kimiDelta}.with(bailingFields, every(either("layer_group_size", constant(6)), full, linear)),
	"bamba":            family{keys: attention(kvGiven, headDim), state: bambaState}.with(bambaLayers),
	"falcon_h1":        family{keys: attention(kvGiven, headDim), state: falconState}.with(uniform("hybrid")),
	"falcon_mamba":     family{state: mamba(innerGiven, field("state_size"), kernel("conv_kernel"))}.with(uniform(linear)),
	"granitemoehybrid": family{keys: attention(kvHeads, headDim), state: bambaState}.called("layer_types", "layers_block_type").with(uniform(linear)),
	"inkling2_text":    inkling.with(every(constant(6), "hybrid", "hybrid_sliding")),
	"inkling_text":     inkling.with(inklingLayers),
	"jamba": family{keys: attention(kvGiven, headDim), state: mamba(innerExpanded, field("mamba_d_state"), kernel("mamba_d_conv"))}.
		with(jambaLayers),
	"kimi_linear": family{keys: latent, state: kimiDelta}.called("max_position_embeddings", "model_max_length").with(kimiFields),
	"lara_mini":   hybrid.with(pattern(laraLayer)),
	"lfm2":        family{keys: attention(kvGiven, headDim), state: shortConvolution(3)}.with(lfm2Layers),
	"lfm2_moe":    {keys: attention(kvGiven, headDim), state: shortConvolution(3)},
	"lfm3":        family{keys: attention(kvGiven, headGiven), state: shortConvolution(7)}.with(pattern(lfm3Layer)),
	"mamba":       family{state: mamba(innerGiven, field("state_size"), kernel("conv_kernel"))}.with(uniform(linear)),
	"mamba2": family{state: mamba2(expanded("expand"), field("num_heads"), field("head_dim"), field("n_groups"), field("state_size"), kernel("conv_kernel"))}.
		with(uniform(linear)),
	"minimax": family{keys: attention(kvGiven, headDim), state: lightning}.with(every(constant(2), linear, full)),
	"nemotron_h": family{keys: attention(kvGiven, headGiven), state: nemotronState}.
		called("layer_types", "layers_block_type").with(nemotronLayers),
	"olmo_hybrid":      family{keys: attention(kvHeads, headDim), state: gatedDelta}.with(olmoLayers, olmoFields),
	"qwen3_5_moe_text": hybrid,
	"qwen3_5_text":     hybrid,
	"qwen3_next":       hybrid,
	"recurrent_gemma":  family{keys: attention(kvHeads, headDim), state: griffin}.called("sliding_window", "attention_window_size").with(griffinLayers),
	"rwkv":             family{state: rwkv}.called("max_position_embeddings", "context_length").with(uniform(linear)),
	"xlstm":            family{state: xlstm}.with(xlstmBlocks, uniform(linear)),
	"zamba": family{keys: attention(kvGiven, zambaDim), state: mamba(innerExpanded, field("mamba_d_state"), kernel("mamba_d_conv"))}.
		called("layer_types", "layers_block_type").with(pattern(zambaLayer)),
	"zamba2": family{keys: attention(kvHeads, zambaDim), state: zamba2State}.called("layer_types", "layers_block_type"),
	"zaya":   family{keys: attention(kvGiven, headGiven), state: zayaState}.with(uniform("hybrid")),

	// Hidden states, not keys and values.
	"reformer": {keys: reformerStates, derive: []derive{reformerLayers}},
	"xlnet":    family{keys: memories}.called("hidden_size", "d_model", "num_attention_heads", "n_head", "num_hidden_layers", "n_layer"),

	// Parts of the input go through models of their own.
	"blt":               {layersOf: blt},
	"mllama_text_model": {keys: mllamaKeys},

	// A configuration of text inside that of a larger model.
	"apertus1p5":              {text: "text_config", of: "apertus1p5_text"},
	"aria":                    {text: "text_config", of: "aria_text"},
	"aya_vision":              {text: "text_config", of: "cohere2"},
	"cohere2_vision":          {text: "text_config", of: "cohere2"},
	"cohere_compass":          {text: "text_config", of: "cohere_compass_text"},
	"dots3_note":              {text: "text_config", of: "dots3_note_text"},
	"emu3":                    {text: "text_config", of: "emu3_text_model"},
	"exaone4_5":               {text: "text_config", of: "exaone4"},
	"fuyu":                    {text: "text_config", of: "persimmon"},
	"gemma3":                  {text: "text_config", of: "gemma3_text"},
	"gemma3n":                 {text: "text_config", of: "gemma3n_text"},
	"gemma4":                  {text: "text_config", of: "gemma4_text"},
	"gemma4_unified":          {text: "text_config", of: "gemma4_unified_text"},
	"glm4v":                   {text: "text_config", of: "glm4v_text"},
	"glm4v_moe":               {text: "text_config", of: "glm4v_moe_text"},
	"got_ocr2":                {text: "text_config", of: "qwen2"},
	"granite_speech":          {text: "text_config", of: "granite"},
	"idefics3":                {text: "text_config", of: "llama"},
	"inkling2":                {text: "text_config", of: "inkling2_text"},
	"inkling2_loop":           {text: "text_config", of: "inkling2_loop_text"},
	"inkling_mm_model":        {text: "text_config", of: "inkling_text"},
	"internvl":                {text: "text_config", of: "qwen2"},
	"kimi_k25":                {text: "text_config", of: "deepseek_v3"},
	"lfm2_vl":                 {text: "text_config", of: "lfm2"},
	"lfm3_vl":                 {text: "text_config", of: "lfm3"},
	"llama4":                  {text: "text_config", of: "llama4_text"},
	"llava":                   {text: "text_config", of: "llama"},
	"llava_next":              {text: "text_config", of: "llama"},
	"llava_onevision":         {text: "text_config", of: "qwen2"},
	"minimax_m3_vl":           {text: "text_config", of: "minimax_m3_vl_text"},
	"mistral3":                {text: "text_config", of: "mistral"},
	"mllama":                  {text: "text_config", of: "mllama_text_model"},
	"moss_transcribe_diarize": {text: "text_config", of: "qwen3"},
	"musicgen":                {text: "decoder", of: "musicgen_decoder"},
	"musicgen_melody":         {text: "decoder", of: "musicgen_melody_decoder"},
	"nemotron_h_omni":         {text: "text_config", of: "nemotron_h"},
	"paligemma":               {text: "text_config", of: "gemma"},
	"qwen2_5_vl":              {text: "text_config", of: "qwen2_5_vl_text"},
	"qwen2_audio":             {text: "text_config", of: "qwen2"},
	"qwen2_vl":                {text: "text_config", of: "qwen2_vl_text"},
	"qwen3_5":                 {text: "text_config", of: "qwen3_5_text"},
	"qwen3_5_moe":             {text: "text_config", of: "qwen3_5_moe_text"},
	"qwen3_vl":                {text: "text_config", of: "qwen3_vl_text"},
	"qwen3_vl_moe":            {text: "text_config", of: "qwen3_vl_moe_text"},
	"qwen4_exp":               {text: "text_config", of: "qwen4_exp_text"},
	"smolvlm":                 {text: "text_config", of: "llama"},
	"voxtral":                 {text: "text_config", of: "llama"},
}

// uncached are the types that generate text without a cache of their own.
var uncached = map[string]string{
	"gemma4_assistant":         "reads the cache of the model that it drafts for",
	"gemma4_unified_assistant": "reads the cache of the model that it drafts for",
	"openai-gpt":               "has no cache in transformers: it reads the whole text again for every token",
	"xlm":                      "is an encoder alone in transformers: it caches nothing",
}
