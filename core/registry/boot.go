package registry

import (
	"encoding/binary"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/registry/registrypb"
	"perdure/core/store"
)

// A first start, in order: the registry's shard is made; one record holds the
// cluster, the first key, the first namespaces and the layout as it is meant to
// be; when that is durable the shards are made; a second record says that they
// are there. Only then is anything published. A later start goes on where this one ended.

// Tags of the registry's own store calls; those of creations grow.
const (
	ownTag   = 1
	firstTag = 2
)

const (
	retryMin = 20 * time.Millisecond
	retryMax = 2 * time.Second
)

// pace is a wait that doubles. at is monotonic, 0 for none.
type pace struct{ at, wait time.Duration }

func (p *pace) again(now time.Duration) {
	p.wait = min(max(2*p.wait, retryMin), retryMax)
	p.at = now + p.wait
}

func (p *pace) due(now time.Duration) bool { return p.at != 0 && now >= p.at }

// ownCreation is that of the registry's shard.
type ownCreation struct{ underway bool }

// read is the scan of all rows.
type read struct {
	pace
	rows []store.Row
	from string
}

func (r *Registry) opened() {
	r.seat.Opened(r.now)
	r.forget()
	r.phase = reading
	r.scan()
}

func (r *Registry) scan() {
	r.read.at = 0
	r.log.Read(nil, []store.Range{{Table: store.Metadata, Partition: partition, From: r.read.from}}, r.out)
}

func (r *Registry) readDone(ev *journal.Event) {
	switch {
	case r.phase != reading:
	case ev.Err != nil:
		r.read.again(r.now.Mono)
	default:
		r.read.rows = append(r.read.rows, ev.Scans[0]...)
		if r.read.from = ev.Next[0]; r.read.from != "" {
			r.scan()
			return
		}
		r.loaded()
	}
}

func (r *Registry) loaded() {
	var err error
	if r.state, err = load(r.read.rows, r.cfg.Level); err != nil {
		r.halt(err)
		return
	}
	r.read = read{}
	if r.state.cluster == "" {
		r.first()
	}
	if !r.state.layout.Created {
		r.phase = creating
		r.beginCreation(r.state.layout.Shards, 0)
		if r.log.Durable() >= r.changed {
			r.createShards()
		}
		return
	}
	r.serve()
}

func (r *Registry) serve() {
	r.phase, r.shards = serving, creation{}
	r.levels.since = r.now.Mono
	r.change()
	if r.log.Durable() >= r.changed {
		r.publish()
	}
	r.createNext()
}

// systemNamespace is where clients of the API expect the server's own workflows to be. Its id is the peer's.
const (
	systemNamespace   = "temporal-system"
	systemNamespaceID = "32049b68-7872-4094-8e63-d0dd59896a83"
	systemRetention   = 7 * 24 * time.Hour
)

// first makes what a new cluster has.
func (r *Registry) first() {
	r.state.level = r.cfg.Level
	r.putCluster(&registrypb.Cluster{Id: r.newID(), Level: uint32(r.state.level)}, true)
	r.putKey(&registrypb.Key{Id: 1, Secret: r.secret()})
	r.putLayout(even(r.cfg.Shards))
	r.putNamespace(&registrypb.Namespace{
		Id: systemNamespaceID, Name: systemNamespace, State: int32(enumspb.NAMESPACE_STATE_REGISTERED),
		Description: "Temporal internal system namespace", OwnerEmail: "temporal-core@temporal.io", Retention: int64(systemRetention),
	}, true)
	r.putNamespace(&registrypb.Namespace{
		Id: r.newID(), Name: "default", State: int32(enumspb.NAMESPACE_STATE_REGISTERED), Retention: int64(r.cfg.DefaultRetention),
	}, true)
	r.change()
}

// even is a layout of shards that are as large as each other, or one strip larger.
func even(shards int) *registrypb.Layout {
	l := &registrypb.Layout{Generation: 1}
	for i := range shards {
		l.Shards = append(l.Shards, &registrypb.Layout_Shard{
			Id: uint32(i + 1), From: uint32(i * port.Strips / shards), To: uint32((i + 1) * port.Strips / shards),
		})
	}
	return l
}

// newID is a UUID of version 4.
func (r *Registry) newID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], r.cfg.Rand())
	binary.LittleEndian.PutUint64(b[8:], r.cfg.Rand())
	return uuid(b)
}

func (r *Registry) secret() []byte {
	secret := make([]byte, 0, 32)
	for range 4 {
		secret = binary.LittleEndian.AppendUint64(secret, r.cfg.Rand())
	}
	return secret
}

// creation is that of some shards.
type creation struct {
	pace
	wanted []*registrypb.Layout_Shard
	floor  store.Epoch // below their first epochs
	first  uint64      // tag of the first one
	asked  []bool      // calls under way
	done   []bool
	left   int
}

func (r *Registry) beginCreation(shards []*registrypb.Layout_Shard, floor store.Epoch) {
	n := len(shards)
	r.shards = creation{wanted: shards, floor: floor, first: firstTag + r.creations, asked: make([]bool, n), done: make([]bool, n), left: n}
	r.creations += uint64(n)
}

// createShards asks for every shard that is not there yet.
func (r *Registry) createShards() {
	c := &r.shards
	c.at = 0
	for i, s := range c.wanted {
		if !c.done[i] && !c.asked[i] {
			c.asked[i] = true
			r.out.Add(port.CreateShard{Tag: c.first + uint64(i), Shard: store.ShardID(s.Id), Strips: store.Strips{From: uint16(s.From), To: uint16(s.To)}, Floor: c.floor})
		}
	}
}

// created takes the answer of a CreateShard. A shard that is there already was made by an earlier try.
func (r *Registry) created(c *port.Completed) {
	ok := c.Err == nil || errors.Is(c.Err, store.ErrExists)
	if c.Tag == ownTag {
		r.own.underway = false
		if ok && r.seat.Opening() { // the answer may come when another node was given the shard
			r.log.Open(r.now, r.out) // else the log's next try will come back here
		}
		return
	}
	i := int(int64(c.Tag - r.shards.first))
	if i < 0 || i >= len(r.shards.done) || r.shards.done[i] {
		return // of an earlier memory
	}
	r.shards.asked[i] = false
	if !ok {
		r.shards.again(r.now.Mono)
		return
	}
	r.shards.done[i] = true
	switch r.shards.left--; {
	case r.shards.left > 0:
		return
	case r.phase == serving:
		r.finishChange()
		return
	}
	l := r.state.layout
	r.putLayout(&registrypb.Layout{Generation: l.Generation, Shards: l.Shards, Created: true})
	r.serve()
}

// retry repeats what failed, when its time has come.
func (r *Registry) retry() {
	if r.phase == reading && r.read.due(r.now.Mono) {
		r.scan()
	}
	if r.shards.due(r.now.Mono) {
		r.createShards()
	}
}
