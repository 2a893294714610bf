package arch

// blt caches what its byte models attend to: the encoder's layers and the decoder's; the large model between them caches
// nothing.
func blt(f *fields) []Layer {
	var layers []Layer
	for _, part := range []string{"encoder_config", "decoder_config"} {
		layers = append(layers, family{keys: attention(kvHeads, headShare)}.layers(f.inside(part).whole())...)
	}
	return layers
}

// whole keeps of a part's fields what says how wide it is: its window does not bound its cache.
func (f *fields) whole() *fields {
	delete(f.says, "sliding_window")
	return f
}
