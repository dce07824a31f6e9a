// Package effect is the heart of P1 effects_once, for the simulator and for the
// tests that kill real servers: every effect has a name that nothing else has, so
// what a caller was told of can be looked for in all histories.
package effect

import "fmt"

// Place is where an effect was found: an event of a run.
type Place struct {
	Run   string
	Event int64
}

// Ledger knows of each effect, by its name, whether somebody was told of it and where it stands.
type Ledger struct {
	places map[string]Place
	told   map[string]bool
	order  []told
}

type told struct{ effect, what string }

// NewLedger makes an empty one.
func NewLedger() *Ledger { return &Ledger{places: map[string]Place{}, told: map[string]bool{}} }

// Found notes where an effect stands. If it stands somewhere already that place is
// kept and returned: twice is a breach, unless the caller knows why it may be.
func (l *Ledger) Found(effect string, at Place) (was Place, twice bool) {
	if was, twice = l.places[effect]; !twice {
		l.places[effect] = at
	}
	return was, twice
}

// Place is where an effect was found first.
func (l *Ledger) Place(effect string) (at Place, there bool) {
	at, there = l.places[effect]
	return at, there
}

// Acknowledge notes that a caller was told of an effect; what says in words what it
// was told. Being told again is no second effect.
func (l *Ledger) Acknowledge(effect, what string) (again bool) {
	if again = l.told[effect]; !again {
		l.told[effect] = true
		l.order = append(l.order, told{effect, what})
	}
	return again
}

// Acknowledged says that a caller was told of an effect.
func (l *Ledger) Acknowledged(effect string) bool { return l.told[effect] }

// Lost says of each effect that was acknowledged and is in no history what it was,
// in the order in which callers were told. It means something once all histories were read.
func (l *Ledger) Lost() (lost []string) {
	for _, t := range l.order {
		if _, there := l.places[t.effect]; !there {
			lost = append(lost, fmt.Sprintf("%s, %q, was acknowledged, and is in no history", t.what, t.effect))
		}
	}
	return lost
}

// Twice says that an effect stands in two places.
func Twice(effect string, was, now Place) string {
	return fmt.Sprintf("%q is in event %d of run %s and in event %d of run %s", effect, was.Event, was.Run, now.Event, now.Run)
}
