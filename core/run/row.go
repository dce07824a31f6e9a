package run

import (
	"encoding/binary"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"

	"perdure/core/history"
	"perdure/core/run/runpb"
)

// Row is one pending row of a run: what grows lives outside the run row. A nil
// Value deletes. Fresh says that no row of this key was ever written.
type Row struct {
	Key   string
	Value []byte
	Fresh bool
}

// The first byte of a pending row's key tells its kind; an event id (8 bytes,
// big endian) or a request id follows.
const (
	rowActivity   = 'a'
	rowInput      = 'i'
	rowTimer      = 't'
	rowChild      = 'c'
	rowSignal     = 's'
	rowCancel     = 'x'
	rowClose      = 'p'
	rowRequest    = 'r'
	rowBuffer     = 'b'
	rowMemo       = 'm'
	rowAttributes = 'q'
)

func idKey(kind byte, id int64) string {
	var k [9]byte
	k[0] = kind
	binary.BigEndian.PutUint64(k[1:], uint64(id))
	return string(k[:])
}

func corrupt(what string, err error) error { return fmt.Errorf("%s is corrupt: %w", what, err) }

func tooNew(what string, format uint32) error {
	return fmt.Errorf("%s has format %d, this server reads up to %d: upgrade it", what, format, Format)
}

func (r *Run) loadRow(p Row) error {
	if p.Key == "" {
		return fmt.Errorf("pending row without a key")
	}
	switch p.Key[0] {
	case rowActivity:
		return load(p, &runpb.Activity{}, func(a *runpb.Activity) {
			r.activities.put(a.ScheduledId, a)
			r.indexActivity(a)
		})
	case rowInput:
		if len(p.Key) != 9 {
			return fmt.Errorf("pending row %q: bad key", p.Key)
		}
		return load(p, &runpb.ActivityInput{}, func(in *runpb.ActivityInput) {
			r.inputs.put(int64(binary.BigEndian.Uint64([]byte(p.Key[1:]))), in)
		})
	case rowTimer:
		return load(p, &runpb.Timer{}, func(t *runpb.Timer) { r.putTimer(t) })
	case rowChild:
		return load(p, &runpb.Child{}, func(c *runpb.Child) { r.children.put(c.InitiatedId, c) })
	case rowSignal:
		return load(p, &runpb.External{}, func(x *runpb.External) { r.signals.put(x.InitiatedId, x) })
	case rowCancel:
		return load(p, &runpb.External{}, func(x *runpb.External) { r.cancels.put(x.InitiatedId, x) })
	case rowClose:
		return load(p, &runpb.ParentClose{}, func(c *runpb.ParentClose) { r.closes.put(c.InitiatedId, c) })
	case rowRequest:
		return load(p, &runpb.RequestID{}, func(q *runpb.RequestID) { r.putRequest(q) })
	case rowBuffer:
		if len(p.Key) != 9 {
			return fmt.Errorf("pending row %q: bad key", p.Key)
		}
		return load(p, &historypb.HistoryEvent{}, func(e *historypb.HistoryEvent) {
			r.buffer = append(r.buffer, e)
			r.size += len(p.Value)
			r.buffered = int64(binary.BigEndian.Uint64([]byte(p.Key[1:]))) + 1
		})
	case rowMemo:
		return load(p, &commonpb.Memo{}, func(m *commonpb.Memo) { r.memo = m })
	case rowAttributes:
		return load(p, &commonpb.SearchAttributes{}, func(a *commonpb.SearchAttributes) { r.attributes = a })
	}
	return fmt.Errorf("pending row %q is of an unknown kind: upgrade the server", p.Key)
}

// whole refuses rows that do not fit together: an owner that was displaced may
// read them while its successor writes some and removes others.
func (r *Run) whole() error {
	for _, id := range r.activities.ids() {
		if _, ok := r.inputs.get(id); !ok {
			return fmt.Errorf("activity %d has no input", id)
		}
	}
	if n := r.inputs.len() - r.activities.len(); n > 0 {
		return fmt.Errorf("%d inputs are of no activity", n)
	}
	return nil
}

func load[M proto.Message](p Row, m M, put func(M)) error {
	if err := proto.Unmarshal(p.Value, m); err != nil {
		return corrupt("pending row", err)
	}
	put(m)
	return nil
}

func encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("run: a row cannot be encoded: %v", err))
	}
	return b
}

// encodePayloads is encode for the one message of the hot path that has maps.
func encodePayloads(p *commonpb.Payloads) []byte {
	b, err := proto.MarshalOptions{Deterministic: !history.Small(p)}.Marshal(p) //ordered: a map of one entry has one order
	if err != nil {
		panic(fmt.Sprintf("run: payloads cannot be encoded: %v", err))
	}
	return b
}

func decode[M proto.Message](b []byte, m M) M {
	if err := proto.Unmarshal(b, m); err != nil {
		panic(fmt.Sprintf("run: a stored message cannot be decoded: %v", err))
	}
	return m
}
