package method

// external is the family of results that were made elsewhere.
const external Family = "external"

// NewExternal makes a pipeline of one method that is not registered: somebody else's result under a name of
// its own. Partial says that its cache lacks entries.
func NewExternal(name string, m Method, partial bool) *Pipeline {
	return &Pipeline{
		Name: name, Family: string(external), Partial: partial,
		methods: []Method{m}, names: []string{name}, partial: []bool{partial},
	}
}
