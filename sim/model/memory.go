package model

// Memory estimates what a pass over so many tokens takes, with logits or without: the residual stream, the rows and the weights of
// one layer, of experts those of one, and what a block of tokens needs between matrices.
func (m *Model) Memory(tokens int, logits bool) int64 {
	width := m.MLP
	if m.Experts != nil {
		width = max(width, m.Experts.Width)
	}
	perToken := m.Hidden + m.HeadDim*(2*m.QHeads+2*m.KVHeads+1)
	perBlock := 2*m.Hidden + m.HeadDim*(m.QHeads+2*m.KVHeads) + 2*width
	if m.Experts != nil {
		perBlock += m.Hidden + m.Experts.Count
	}
	numbers := int64(tokens)*int64(perToken) + int64(min(tokens, blockTokens))*int64(perBlock)
	weights := int64(0)
	for l := range m.Layers {
		weights = max(weights, m.layerBytes(l))
	}
	if logits {
		numbers += int64(min(tokens, logitTokens)) * int64(m.Vocabulary)
		weights = max(weights, m.tensors.bytes(m.head))
	}
	return 4*numbers + weights
}

// layerBytes is what the weights of a layer take that are in memory together.
func (m *Model) layerBytes(l int) (n int64) {
	list, err := m.layerTensors(l)
	if err != nil { // which was refused when the model was opened
		return 0
	}
	for _, t := range list {
		bytes := m.tensors.bytes(t.name)
		if isExpert(t.name) { // of which one is read at a time, and perhaps transposed
			bytes = 2 * bytes / int64(m.Experts.Count)
		}
		n += bytes
	}
	return n
}
