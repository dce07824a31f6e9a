package program

// A program is a tree: operations at the leaves, and how they follow each other
// above. It is walked anew at each turn, from the root, until it blocks.

// node is a part of the tree. step does what can be done and reports whether the
// part is done; cancel gives up what it waits for.
type node interface {
	step(x *Instance) bool
	cancel(x *Instance)
}

// sequence does one part after another.
type sequence struct {
	parts []node
	at    int
}

func (s *sequence) step(x *Instance) bool {
	for s.at < len(s.parts) {
		if !s.parts[s.at].step(x) {
			return false
		}
		s.at++
	}
	return true
}

func (s *sequence) cancel(x *Instance) {
	if s.at < len(s.parts) {
		s.parts[s.at].cancel(x)
		s.at = len(s.parts)
	}
}

// all does its parts side by side and waits for every one.
type all struct {
	parts []node
	done  []bool
}

func (a *all) step(x *Instance) bool {
	if a.done == nil {
		a.done = make([]bool, len(a.parts))
	}
	left := 0
	for i, p := range a.parts {
		if !a.done[i] {
			a.done[i] = p.step(x)
		}
		if !a.done[i] {
			left++
		}
	}
	return left == 0
}

func (a *all) cancel(x *Instance) {
	for i, p := range a.parts {
		if a.done != nil && !a.done[i] {
			p.cancel(x)
		}
	}
}

// race does its parts side by side, waits for the first and cancels the others.
type race struct{ parts []node }

func (r *race) step(x *Instance) bool {
	for i, p := range r.parts {
		if p.step(x) {
			for j, loser := range r.parts {
				if j != i {
					loser.cancel(x)
				}
			}
			return true
		}
	}
	return false
}

func (r *race) cancel(x *Instance) {
	for _, p := range r.parts {
		p.cancel(x)
	}
}

// signalWait waits for one signal that nobody took.
type signalWait struct{ off bool }

func (s *signalWait) step(x *Instance) bool {
	if s.off || x.taken >= len(x.signals) {
		return s.off
	}
	x.taken++
	s.off = true
	return true
}

func (s *signalWait) cancel(*Instance) { s.off = true }
