package arch

import "maps"

// family says how the configurations of a model type are read: a row of the table in types.go.
type family struct {
	alias  map[string]string                       // the usual name of a field to the one that this type has
	text   string                                  // the field that holds the configuration of the part that generates text
	of     string                                  // that part's type, where the field does not name one
	derive []derive                                // what the class fills in, in order
	keys   part                                    // what a layer with attention caches
	index  part                                    // what an indexer beside it caches
	state  part                                    // what a layer with a state caches
	loop   func(f *fields, layers []Layer) []Layer // what is made of the layers: some share, some are run again

	layersOf func(f *fields) []Layer // all of it, where layers are not alike enough for the rest
}

// names makes a type's other names for fields out of pairs: the usual one, its own.
func names(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// with returns the family with more steps before its own.
func (t family) with(d ...derive) family {
	t.derive = append(d, t.derive...)
	return t
}

// called returns the family with other names of fields.
func (t family) called(pairs ...string) family {
	alias := names(pairs...)
	maps.Copy(alias, t.alias)
	t.alias = alias
	return t
}

// layers returns what the family's layers cache.
func (t family) layers(f *fields) []Layer {
	f.alias = t.alias
	if t.layersOf != nil {
		return t.layersOf(f)
	}
	for _, d := range t.derive {
		if d(f); *f.first != nil {
			return nil
		}
	}
	of := f.layers(f.layerCount())
	if *f.first != nil {
		return nil
	}
	layers := make([]Layer, len(of))
	for i, name := range kindsOf(of) {
		layers[i] = t.layer(of[i], i, name)
		if *f.first != nil {
			return nil
		}
	}
	if t.loop != nil {
		layers = t.loop(f, layers)
	}
	return layers
}

// layer returns what one layer caches.
func (t family) layer(f *fields, i int, name string) Layer {
	l := Layer{Block: i, Kind: name, From: -1}
	k, ok := kinds[name]
	if !ok || k.keys && t.keys == nil || k.index && t.index == nil || k.state && t.state == nil {
		f.fail("%slayer_types: layer %d is %s, want a kind that this type has", f.path, i, show(name))
		return l
	}
	rows := Rows{Grow: All}
	if k.window != "" {
		l.Window = f.size(k.window)
		rows = Rows{Ring, l.Window}
	}
	if k.chunk != "" {
		l.Chunk = f.size(k.chunk)
		rows = Rows{Ring, l.Chunk}
	}
	if k.keys {
		t.keys(f, &l, rows)
		if l.KVHeads > 0 && l.QHeads%l.KVHeads != 0 {
			_, path, _ := f.value("num_key_value_heads")
			f.fail("%s: %d, want a divisor of the %d query heads of layer %d", path, l.KVHeads, l.QHeads, i)
		}
	}
	if k.index {
		t.index(f, &l, rows)
	}
	if k.state {
		t.state(f, &l, rows)
	}
	return l
}
