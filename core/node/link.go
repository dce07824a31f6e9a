package node

// Between two nodes a message is delivered at most once, and never after one that
// was sent later: what a network repeats or overtakes is dropped, so a machine
// sees nothing worse than loss. (Machines of one node exchange messages without loss.)

// Stamp is what a message carries.
type Stamp struct {
	Life uint64 // of the sending process, drawn when it starts
	Seq  uint64 // of the messages of that life to this receiver
}

// Outgoing numbers the messages of one node to another.
type Outgoing struct {
	Life uint64
	seq  uint64
}

// Next is the stamp of the next message.
func (o *Outgoing) Next() Stamp {
	o.seq++
	return Stamp{o.Life, o.seq}
}

// livesKept of a sender are told apart: messages of an earlier one may still be under way.
const livesKept = 4

// Incoming accepts the messages of one node.
type Incoming struct {
	lives []Stamp // last accepted, of each life; the newest life last
}

// Accept reports whether a message is to be delivered.
func (i *Incoming) Accept(s Stamp) bool {
	for n := range i.lives {
		l := &i.lives[n]
		if l.Life != s.Life {
			continue
		}
		if s.Seq <= l.Seq {
			return false
		}
		l.Seq = s.Seq
		return true
	}
	if len(i.lives) == livesKept {
		i.lives = append(i.lives[:0], i.lives[1:]...)
	}
	i.lives = append(i.lives, s)
	return true
}
