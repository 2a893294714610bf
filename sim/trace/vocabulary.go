package trace

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"

	"kvgauge/sim/record"
)

// What the metadata fields format and version must say.
const (
	formatName    = "kvgauge-trace"
	firstVersion  = "1" // one shape and one attention for all layers
	secondVersion = "2" // those of each layer
)

// The metadata fields of a trace. Those of layers, at the top level, are the defaults of all layers.
var (
	traceFields = []string{
		"format", "version", "model", "source", "num_layers", "position_offset", "needles", "repeat_span", "layers",
	}
	layerFields = []string{
		"window", "chunk", "softcap", "scale", "rope_theta", "rope_style", "rope_dims", "rope_factor", "kv_from", "state_bytes",
	}
	secondFields = []string{"layers", "window", "chunk", "softcap", "rope_factor"} // that version 1 does not have at the top level
	freeFields   = []string{"text", "note", "bits_per_token"}                      // for people
)

// freePrefix begins the names of fields that are for people, too.
const freePrefix = "x_"

// The tensors of a layer.
var (
	rowTensors    = []string{"q", "k", "v"}
	secondTensors = []string{"rope_inv_freq", "sinks", "alibi"} // that version 1 does not have
	latentTensors = []string{"c", "k_rope", "w_uk", "w_uv"}     // of latent layers, which version 1 does not have
)

const (
	// stateField is the field of a layer without tensors: what it keeps does not grow with the text.
	stateField = "state_bytes"
	// ownerField is the field of a layer without keys and values: it names the layer whose it reads.
	ownerField = "kv_from"
)

// ownFields say what makes a layer unlike the others: they are no defaults of all layers.
var ownFields = map[string]string{
	stateField: "of a layer that has no tensors, want it in metadata field layers",
	ownerField: "of a layer that has no keys and values, want it in metadata field layers",
}

// outputTensor is what the model's attention put out.
const outputTensor = "o"

// invFreqName is the tensor of rotary frequencies of all layers that do not follow from rope_theta.
const invFreqName = "rope_inv_freq"

// layerTensor matches the tensors of a layer.
var layerTensor = regexp.MustCompile(`^layers\.([0-9]+)\.((?s:.+))$`)

// nearLayer matches names that begin as those of a layer's tensors do.
var nearLayer = regexp.MustCompile(`(?i)^layers?(\.|$|[_/ -]?[0-9])`)

// tensorOf splits the name of a layer's tensor; ok says whether it is one that this program reads.
func tensorOf(name string) (number, kind string, ok bool) {
	m := layerTensor.FindStringSubmatch(name)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], slices.Contains(slices.Concat(rowTensors, latentTensors, secondTensors), m[2])
}

// isRows says whether a tensor holds rows of a layer.
func isRows(name string) bool {
	_, kind, _ := tensorOf(name)
	return slices.Contains(rowTensors, kind) || slices.Contains(latentTensors, kind)
}

// isOwn says whether a tensor is one that a trace is made of; others are carried along.
func isOwn(name string) bool {
	_, _, ok := tensorOf(name)
	return ok || name == invFreqName
}

// isRead says whether the numbers of a tensor are read: outputs are, though they are carried along.
func isRead(name string) bool {
	_, kind, _ := tensorOf(name)
	return isOwn(name) || kind == outputTensor
}

// strangers returns a line for each field and tensor that is ignored, and refuses those that would not mean what their
// writer meant if they were: misspelt ones, those of another version, and those of a model's configuration.
func (c *container) strangers(held []int) ([]string, error) {
	ignored := slices.Clone(c.ignored)
	for _, name := range slices.Sorted(maps.Keys(c.meta)) {
		known, err := checkField(name, c.meta["version"])
		if err != nil {
			return nil, within("metadata field", name, err)
		}
		if !known {
			ignored = append(ignored, fmt.Sprintf("metadata field %s: not a field of a trace, ignored", printable(name)))
		}
	}
	tensors, err := c.strangeTensors(held)
	return append(ignored, tensors...), err
}

// ignoredTensor is what is said of an unknown tensor of a layer.
const ignoredTensor = "not a tensor of a trace, ignored"

// strangeTensors is strangers for tensors; those of one kind share a line.
func (c *container) strangeTensors(held []int) (ignored []string, err error) {
	kinds := map[string][]int{}         // the layers that have one
	for _, name := range c.unreadable { // which have their lines
		_, kind, _ := tensorOf(name)
		if err := checkTensor(name, kind, c.meta["version"]); err != nil {
			return nil, within("tensor", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.tensors)) {
		number, kind, own := tensorOf(name)
		if err := checkTensor(name, kind, c.meta["version"]); err != nil {
			return nil, within("tensor", name, err)
		}
		switch n, err := layerNumber(number); {
		case own || kind == outputTensor:
			if _, err := heldLayer(number, held); err != nil {
				return nil, within("tensor", name, fmt.Errorf("layer %s: %w", printable(number), err))
			}
		case kind != "" && err != nil, kind == "" && nearLayer.MatchString(name):
			ignored = append(ignored, fmt.Sprintf("tensor %s: %s", printable(name), ignoredTensor))
		case kind != "":
			kinds[kind] = append(kinds[kind], n)
		}
	}
	for kind, layers := range kinds {
		slices.Sort(layers)
		line := fmt.Sprintf("tensor %s: %s", printable(fmt.Sprintf("layers.%d.%s", layers[0], kind)), ignoredTensor)
		if more := layers[1:]; len(more) > 0 {
			line += ", like those of layers " + record.LayerList(more)
		}
		ignored = append(ignored, line)
	}
	return ignored, nil
}

// maxUnknown bounds the lines about what was ignored, which every record of a trace repeats.
const maxUnknown = 40

// unknownLines sorts lines about what was ignored, and counts those beyond the bound.
func unknownLines(lines []string) []string {
	slices.Sort(lines)
	if more := len(lines) - maxUnknown; more > 0 {
		lines = append(slices.Clone(lines[:maxUnknown]), fmt.Sprintf("%d more fields and tensors: not of a trace, ignored", more))
	}
	return lines
}

// Carried is Unknown for a trace that is written again: all goes along but arrays that no container holds.
func (t *Trace) Carried() []string {
	c, ok := t.src.(*container)
	if !ok {
		return nil
	}
	lines := slices.Clone(t.Unknown)
	for i, line := range lines {
		if !slices.Contains(c.ignored, line) {
			lines[i] = strings.Replace(line, ", ignored", ", carried along", 1)
		}
	}
	return lines
}

// checkField says whether a metadata field is one of a trace, and refuses what must not be ignored.
func checkField(name, version string) (known bool, err error) {
	why, own := ownFields[name]
	switch {
	case own:
		return false, errors.New(why)
	case version == firstVersion && slices.Contains(secondFields, name):
		return false, errors.New("not a field of version 1, want version=2")
	case slices.Contains(traceFields, name), slices.Contains(layerFields, name), IsFree(name):
		return true, nil
	}
	return false, mistaken(name, "field", slices.Concat(traceFields, layerFields))
}

// checkLayerField is checkField for a field within the metadata field layers.
func checkLayerField(name string) (known bool, err error) {
	switch {
	case slices.Contains(layerFields, name), IsFree(name):
		return true, nil
	case slices.Contains(traceFields, name):
		return false, errors.New("not a field of a layer, want it beside layers")
	}
	return false, mistaken(name, "field", layerFields)
}

// IsFree says whether a metadata field is for people.
func IsFree(name string) bool {
	return slices.Contains(freeFields, name) || strings.HasPrefix(name, freePrefix)
}

// checkTensor refuses a tensor that must not be ignored. kind is that of a layer's tensor, or empty.
func checkTensor(name, kind, version string) error {
	last, second := strings.ToLower(lastPart(name)), slices.Concat(secondTensors, latentTensors)
	switch {
	case name == invFreqName, slices.Contains(rowTensors, kind), kind == outputTensor:
		return nil
	case slices.Contains(second, kind) && version == firstVersion:
		return errors.New("not a tensor of version 1, want version=2")
	case slices.Contains(second, kind):
		return nil
	case slices.Contains(second, last) && len(last) > 1:
		return fmt.Errorf("not a tensor of a trace, want layers.N.%s", last)
	case (kind == "" && nearLayer.MatchString(name) || strings.EqualFold(kind, last)) && slices.Contains(slices.Concat(rowTensors, second, []string{outputTensor}), last):
		return fmt.Errorf("not a tensor of a trace, want layers.N.%s, N the layer's number", last)
	case slices.Contains(layerFields, kind):
		return fmt.Errorf("not a tensor of a trace, want metadata field layers with %s in it", kind)
	case kind == "": // carried along, as any name is, but for a slip in the one that is known
		if n := nearest(name, []string{invFreqName}); n != "" {
			return fmt.Errorf("not a tensor of a trace, did you mean %s?", n)
		}
		return nil
	case len(kind) < 3: // too short to be a slip
		return nil
	}
	return mistaken(kind, "tensor", second)
}

// mistaken refuses a name that is near to a known one, or by which models' configurations call what changes attention.
func mistaken(name, what string, known []string) error {
	if use, ok := configUse(name); ok {
		return fmt.Errorf("not a %s of a trace, want %s", what, use)
	}
	if n := nearest(name, known); n != "" {
		return fmt.Errorf("not a %s of a trace, did you mean %s?", what, n)
	}
	return nil
}

// lastPart is a name without the sections before it: text_config.sliding_window is sliding_window.
func lastPart(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// nearest returns the known name within two letters of another, or within one where it has fewer than six; "" where
// there is none.
func nearest(name string, known []string) string {
	best, least := "", 3
	name = strings.ToLower(name)
	letters := utf8.RuneCountInString(name)
	for _, k := range known {
		most := 2
		if len(k) < 6 {
			most = 1
		}
		if letters < len(k)-most || letters > len(k)+most { // names may be long, and many
			continue
		}
		if d := levenshtein.ComputeDistance(name, k); d <= most && d < least {
			best, least = k, d
		}
	}
	return best
}

// layerNumber parses a layer's number.
func layerNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n >= maxLayers || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("want 0 to %d without leading zeros", maxLayers-1)
	}
	return n, nil
}
