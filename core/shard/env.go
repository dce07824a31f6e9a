package shard

import (
	"encoding/hex"
	"time"

	"perdure/core/port"
	"perdure/core/run"
)

// What a transition of a run gets from its shard: the time, its namespace, ids and chance.

// env is what a transition of a run gets; it holds until the next call.
func (s *Shard) env(namespaceID string, k port.RunKey) *run.Env {
	ns := s.snapshot.ByID[namespaceID]
	if ns == nil {
		ns = s.lent[namespaceID]
	}
	if ns == nil { // deleted meanwhile: its runs still end in good order
		ns = &port.Namespace{ID: namespaceID, Retention: 24 * time.Hour}
	}
	s.transition.Now, s.transition.Namespace, s.moving = s.time, ns, k
	s.deciding = true
	return &s.transition
}

// lend takes the namespace of a request that was admitted under a state of the
// registry which this shard has not heard of yet.
func (s *Shard) lend(ns *port.Namespace) {
	if ns == nil || s.snapshot.ByID[ns.ID] != nil {
		return
	}
	if s.lent == nil {
		s.lent = map[string]*port.Namespace{}
	}
	s.lent[ns.ID] = ns
}

// newEnv makes the environment that all transitions share.
func (s *Shard) newEnv() run.Env {
	return run.Env{
		NewRunID: s.newRunID, NewID: s.newID, Rand: s.cfg.Rand, Limits: &s.cfg.Limits,
		Lookup:  func(name string) *port.Namespace { return s.snapshot.ByName[name] },
		Movable: func(at int64) bool { return s.log.Unflushed(deadlineKey(s.moving, at)) },
	}
}

// newID is a random UUID (version 4).
func (s *Shard) newID() string {
	return formatUUID(s.cfg.Rand()&^(0xf<<12)|4<<12, s.cfg.Rand()&^(3<<62)|2<<62)
}

// newRunID is a UUID that begins with the time (version 7), so that rows of new runs append.
func (s *Shard) newRunID() string {
	ms := uint64(s.time / int64(time.Millisecond))
	return formatUUID(ms<<16|7<<12|s.cfg.Rand()&0xfff, s.cfg.Rand()&^(3<<62)|2<<62)
}

func formatUUID(hi, lo uint64) string {
	var raw [16]byte
	for i := range 8 {
		raw[i] = byte(hi >> (56 - 8*i))
		raw[8+i] = byte(lo >> (56 - 8*i))
	}
	var b [36]byte
	hex.Encode(b[0:8], raw[0:4])
	hex.Encode(b[9:13], raw[4:6])
	hex.Encode(b[14:18], raw[6:8])
	hex.Encode(b[19:23], raw[8:10])
	hex.Encode(b[24:36], raw[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}
