package spectral

import "os"

// long asks for the checks that are long by nature in full, and not for a short version of each. Tests ask when
// they run: what is read before is not part of what go test remembers a result by.
func long() bool { return os.Getenv("KVGAUGE_LONG") != "" }
