package check

import "perdure/core/port"

// P32 asks_before_displacing: an owner whose append is unknown opens its journal anew
// only after the store said, a moment before, that the shard is still its own. One that was displaced
// leaves the shard to its successor. A store for one process alone has no successors.

// Displaces holds the effects of one step of a shard's machine against its input.
func Displaces(in port.Input, out []port.Effect) *Breach {
	for _, e := range out {
		open, ok := e.(port.OpenStore)
		if !ok || open.Open.Known == 0 { // nothing is kept: a new owner, who has asked in its own way
			continue
		}
		if answer, ok := in.(*port.Completed); !ok || !answer.Owner {
			return breach(AsksBeforeDisplacing, "", "shard %d was opened over a record whose fate is unknown, without asking who owns it now", open.Open.Shard)
		}
	}
	return nil
}
