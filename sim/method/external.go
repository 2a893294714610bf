package method

// external is the family of results that were made elsewhere.
const external Family = "external"

// NewExternal makes a pipeline of one method that is not registered: somebody else's result under a name of
// its own. Partial says that its cache lacks entries.
func NewExternal(name string, m Method, partial bool) *Pipeline {
	scope := ""
	if partial {
		scope = "all" // it says what windows hold, too
	}
	return &Pipeline{
		Name: name, Family: string(external), Partial: partial,
		methods: []Method{m}, names: []string{name}, partial: []bool{partial}, scope: []string{scope}, place: []int{Eviction.stage()},
	}
}
