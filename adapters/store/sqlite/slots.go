package sqlite

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"

	"perdure/core/store"
)

// journalPage is the page size of a new journal.
const journalPage = 8 << 10

// slots keep the records of the journal: rows of one size, each of which fills a
// page. The records of one append are a stream of bytes (per record: shard, seq,
// length, body) that is cut into as many slots as it needs.
//
// A slot whose records are all trimmed is simply written anew. So a commit
// writes the pages of its slots and no other: nothing is deleted, no list of
// free pages changes, no page of the tree above. That a slot is free is told by
// the shards' trims, or by its stream being incomplete: only slots of streams
// that are trimmed are written anew.
type slots struct {
	conn      *sqlite.Conn
	pageBytes int64
	room      int // bytes of the stream in a slot
	put, get  *sqlite.Stmt
	count     int64   // slots in the file; their ids are 1 to count
	free      []int64 // taken from the end: what was freed last may be in the log still, and is copied but once
	number    uint64  // of the last stream
	body      []byte  // scratch
}

// stream is the records of one append. Its slots are free once none of its records is live.
type stream struct {
	number uint64
	slots  []int64
	live   int
	places []place // of the records, until they are taken over
}

// place is where a record's body is.
type place struct {
	in   *stream
	from int // in the stream
	size int
}

const (
	slotHeader   = 8 + 4 + 4 // number of the stream, part, bytes of the stream
	recordHeader = 4 + 8 + 4 // shard, seq, bytes
	// rowOverhead is what SQLite needs of a page for the row: a row that is any
	// longer continues on a page of its own.
	rowOverhead = 48
)

func (s *slots) open(c *sqlite.Conn) (err error) {
	s.conn = c
	if s.pageBytes, err = number(c, "PRAGMA page_size"); err != nil {
		return err
	}
	s.body = make([]byte, s.pageBytes-rowOverhead)
	s.room = len(s.body) - slotHeader
	if s.get, err = c.Prepare("SELECT body FROM slot WHERE id = ?"); err != nil {
		return err
	}
	s.put, err = c.Prepare("REPLACE INTO slot (id, body) VALUES (?, ?)")
	return err
}

// write puts the chosen records into free slots, which are theirs only when the
// transaction has succeeded and take is called.
func (s *slots) write(batch []store.Append, chosen []int) (*stream, error) {
	total := 0
	for _, i := range chosen {
		total += recordHeader + len(batch[i].Record)
	}
	w := slotWriter{slots: s, total: total, stream: &stream{
		number: s.number + 1, live: len(chosen), slots: s.next((total + s.room - 1) / s.room), places: make([]place, 0, len(chosen)),
	}}
	for _, i := range chosen {
		w.record(batch[i])
	}
	w.flush()
	return w.stream, w.err
}

// next names n slots that may be written: free ones, then new ones.
func (s *slots) next(n int) []int64 {
	ids := make([]int64, n)
	for i := range ids {
		if i < len(s.free) {
			ids[i] = s.free[len(s.free)-1-i]
		} else {
			ids[i] = s.count + int64(i-len(s.free)) + 1
		}
	}
	return ids
}

// take makes the slots of a stream its own.
func (s *slots) take(b *stream) {
	old := min(len(b.slots), len(s.free))
	s.free = s.free[:len(s.free)-old]
	s.count += int64(len(b.slots) - old)
	s.number = b.number
}

// release lets records go.
func (s *slots) release(records []place) {
	for _, r := range records {
		r.in.live--
		if r.in.live == 0 {
			s.free = append(s.free, r.in.slots...)
		}
	}
}

// slotWriter cuts a stream into slots.
type slotWriter struct {
	slots  *slots
	stream *stream
	total  int
	at     int // bytes of the stream so far
	err    error
}

func (w *slotWriter) record(a store.Append) {
	var h [recordHeader]byte
	binary.BigEndian.PutUint32(h[:], uint32(a.Fence.Shard))
	binary.BigEndian.PutUint64(h[4:], uint64(a.Seq))
	binary.BigEndian.PutUint32(h[12:], uint32(len(a.Record)))
	w.bytes(h[:])
	w.stream.places = append(w.stream.places, place{in: w.stream, from: w.at, size: len(a.Record)})
	w.bytes(a.Record)
}

func (w *slotWriter) bytes(b []byte) {
	for len(b) > 0 {
		n := copy(w.slots.body[slotHeader+w.at%w.slots.room:], b)
		b = b[n:]
		w.at += n
		if w.at%w.slots.room == 0 {
			w.put()
		}
	}
}

// flush writes the last slot, if it is not full.
func (w *slotWriter) flush() {
	if rest := w.at % w.slots.room; rest > 0 {
		clear(w.slots.body[slotHeader+rest:])
		w.at += w.slots.room - rest
		w.put()
	}
}

func (w *slotWriter) put() {
	if w.err != nil {
		return
	}
	s := w.slots
	part := w.at/s.room - 1
	binary.BigEndian.PutUint64(s.body, w.stream.number)
	binary.BigEndian.PutUint32(s.body[8:], uint32(part))
	binary.BigEndian.PutUint32(s.body[12:], uint32(w.total))
	s.put.BindInt64(1, w.stream.slots[part])
	s.put.BindBytes(2, s.body)
	w.err = run(s.put)
}

// read copies a record out.
func (s *slots) read(r place) ([]byte, error) {
	body := make([]byte, 0, r.size)
	for at := r.from; len(body) < r.size; at = r.from + len(body) {
		if err := s.fetch(r.in.slots[at/s.room]); err != nil {
			return nil, err
		}
		rest := s.body[slotHeader+at%s.room:]
		body = append(body, rest[:min(len(rest), r.size-len(body))]...)
	}
	return body, nil
}

var errSlot = fmt.Errorf("%w: a slot of the journal is missing or damaged; restore the folder from a backup", ErrForeign)

// fetch reads a slot into body.
func (s *slots) fetch(id int64) error {
	s.get.BindInt64(1, id)
	found, err := s.get.Step()
	if err != nil {
		return err
	}
	if !found || s.get.ColumnLen(0) != len(s.body) {
		return errors.Join(errSlot, s.get.Reset())
	}
	s.get.ColumnBytes(0, s.body)
	return s.get.Reset()
}

// part is what the head of a slot says.
type part struct {
	stream uint64
	part   uint32
	total  uint32
	slot   int64
}

// load finds the streams that are complete, and shows their records to index in
// the order in which they were appended. All other slots are free.
func (s *slots) load(index func(store.ShardID, store.Seq, place) (live bool, err error)) error {
	parts, err := s.parts()
	if err != nil {
		return err
	}
	for len(parts) > 0 {
		n := 1
		for n < len(parts) && parts[n].stream == parts[0].stream {
			n++
		}
		if err := s.loadStream(parts[:n], index); err != nil {
			return err
		}
		parts = parts[n:]
	}
	return nil
}

// parts lists all slots in the order of their streams.
func (s *slots) parts() (parts []part, err error) {
	s.count, err = number(s.conn, "SELECT coalesce(max(id), 0) FROM slot")
	for id := int64(1); err == nil && id <= s.count; id++ {
		if err = s.fetch(id); err == nil {
			parts = append(parts, part{
				stream: binary.BigEndian.Uint64(s.body), part: binary.BigEndian.Uint32(s.body[8:]),
				total: binary.BigEndian.Uint32(s.body[12:]), slot: id,
			})
		}
	}
	slices.SortFunc(parts, func(a, b part) int {
		if a.stream != b.stream {
			return cmp.Compare(a.stream, b.stream)
		}
		return cmp.Compare(a.part, b.part)
	})
	return parts, err
}

func (s *slots) loadStream(parts []part, index func(store.ShardID, store.Seq, place) (bool, error)) error {
	b := &stream{number: parts[0].stream}
	s.number = max(s.number, b.number)
	for _, p := range parts {
		b.slots = append(b.slots, p.slot)
	}
	total := int(parts[0].total)
	if len(parts) == (total+s.room-1)/s.room { // else some were written anew, so all are free
		if err := s.loadRecords(b, total, index); err != nil {
			return err
		}
	}
	if b.live == 0 {
		s.free = append(s.free, b.slots...)
	}
	return nil
}

func (s *slots) loadRecords(b *stream, total int, index func(store.ShardID, store.Seq, place) (bool, error)) error {
	for at := 0; at < total; {
		if total-at < recordHeader {
			return errSlot
		}
		h, err := s.read(place{in: b, from: at, size: recordHeader})
		if err != nil {
			return err
		}
		r := place{in: b, from: at + recordHeader, size: int(binary.BigEndian.Uint32(h[12:]))}
		if r.size > total-r.from {
			return errSlot
		}
		live, err := index(store.ShardID(binary.BigEndian.Uint32(h)), store.Seq(binary.BigEndian.Uint64(h[4:])), r)
		if err != nil {
			return err
		}
		if live {
			b.live++
		}
		at = r.from + r.size
	}
	return nil
}
