package sim

import "strings"

const (
	aboutLines = 24 // of the trace, that name what the breach is about
	lastLines  = 12
	lineMax    = 300 // characters
)

// Explain runs a seed again and keeps what led to its breach: the last lines of
// the trace that are about it, and the last lines at all.
func Explain(r *Report, o Options) []string {
	if r.Breach == nil {
		return nil
	}
	var about, last []string
	keep := func(list []string, line string, most int) []string {
		if len(line) > lineMax {
			line = strings.ToValidUTF8(line[:lineMax], "") + "..."
		}
		if list = append(list, line); len(list) > most {
			list = list[1:]
		}
		return list
	}
	o.Trace = func(line string) {
		if r.Breach.About != "" && strings.Contains(line, r.Breach.About) {
			about = keep(about, line, aboutLines)
		}
		last = keep(last, line, lastLines)
	}
	Run(r.Seed, o)
	if len(about) == 0 {
		return last
	}
	return append(append(about, "..."), last...)
}
