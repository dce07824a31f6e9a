package runtime

import "perdure/core/port"

// directory finds machines by address. It is never changed, only replaced.
type directory struct {
	all    []*mailbox
	dense  [port.RoleRegistry + 1][]*mailbox // by Index, for small ones
	sparse map[port.Address]*mailbox
}

// dense indexes end here: shard ids grow with every change of the layout.
const denseLimit = 4096

// find is on the path of every message: an array index for nearly all of them.
func (d *directory) find(a port.Address) *mailbox {
	if int(a.Role) < len(d.dense) {
		if row := d.dense[a.Role]; int64(a.Index) < int64(len(row)) {
			if m := row[a.Index]; m != nil && m.addr == a {
				return m
			}
		}
	}
	return d.sparse[a]
}

// with is a copy that holds one more machine.
func (d *directory) with(m *mailbox) *directory {
	if d.find(m.addr) != nil {
		panic("runtime: two machines with one address")
	}
	next := &directory{all: append(d.all[:len(d.all):len(d.all)], m), dense: d.dense, sparse: make(map[port.Address]*mailbox, len(d.sparse)+1)}
	for a, m := range d.sparse {
		next.sparse[a] = m
	}
	if m.addr.Index >= denseLimit || int(m.addr.Role) >= len(d.dense) {
		next.sparse[m.addr] = m
		return next
	}
	row := make([]*mailbox, max(len(d.dense[m.addr.Role]), int(m.addr.Index)+1))
	copy(row, d.dense[m.addr.Role])
	row[m.addr.Index] = m
	next.dense[m.addr.Role] = row
	return next
}

func (d *directory) quiet() bool {
	for _, m := range d.all {
		if !m.quiet() {
			return false
		}
	}
	return true
}
