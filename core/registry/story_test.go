package registry

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	replicationpb "go.temporal.io/api/replication/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"perdure/core/journal"
	"perdure/core/port"
	"perdure/core/store"
	"perdure/core/store/memory"
)

var (
	registryAt  = port.Address{Node: 1, Role: port.RoleRegistry}
	committerAt = port.Address{Node: 1, Role: port.RoleCommitter}
)

// world is one node with a registry, a committer and a store, stepped until quiet.
type world struct {
	t         *testing.T
	store     *memory.Store
	registry  *Registry
	committer *journal.Committer
	cfg       Config
	now       time.Time
	alarm     time.Time
	inbox     []func()
	fail      map[string]int // how many of the next calls of a kind fail
	stalled   bool           // appends wait
	waiting   []func()
	out       strings.Builder
	snapshot  *port.Snapshot
	call      uint64
}

func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{t: t, store: memory.New(), fail: map[string]int{}, now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return w.do(d) })
	})
}

// do runs one command:
//
//	start [shards=n] [level=n] [members]  a new process on the same store; in a cluster it waits for a view
//	members n ...          the nodes of its view
//	hear node=n level=n    that node asks for a newer snapshot than the last one
//	relayout shards=n      another number of shards is asked for
//	emptied shard=n epoch=n, retired shard=n  what the owner of a shard tells
//	told level=n           another node's snapshot of that level
//	fail open|create|read=n  the next n calls of that kind fail
//	stall, resume          appends wait
//	wait d                 time passes
//	displace               another owner opens the journal
//	show                   the last snapshot
//	anything else          a call, see request
func (w *world) do(d *datadriven.TestData) string {
	w.out.Reset()
	switch d.Cmd {
	case "start":
		w.start(d)
	case "fail":
		for _, a := range d.CmdArgs {
			fmt.Sscan(a.Vals[0], new(int))
			n := 0
			fmt.Sscan(a.Vals[0], &n)
			w.fail[a.Key] = n
		}
	case "stall":
		w.stalled = true
	case "resume":
		w.stalled = false
		w.inbox, w.waiting = append(w.inbox, w.waiting...), nil
		w.quiet()
	case "wait":
		p, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			w.t.Fatal(err)
		}
		w.wait(p)
	case "displace":
		if _, err := w.store.Open(store.Open{Shard: store.RegistryShard, Owner: "other", Nonce: 1 << 40}); err != nil {
			w.t.Fatal(err)
		}
	case "members":
		view := &port.Members{}
		for _, a := range d.CmdArgs {
			n := 0
			fmt.Sscan(a.Key, &n)
			roles := port.AllRoles
			if n != 1 {
				roles = port.ServesFrontend
			}
			view.All = append(view.All, port.Member{Node: port.NodeID(n), Roles: roles})
		}
		w.step(w.registry, view)
		w.quiet()
	case "hear":
		var n, level int
		d.ScanArgs(w.t, "node", &n)
		d.ScanArgs(w.t, "level", &level)
		w.step(w.registry, port.Fetch{From: port.Address{Node: port.NodeID(n), Role: port.RoleRegistry}, Version: w.snapshot.Version, Level: port.Level(level)})
		w.quiet()
	case "relayout":
		n := 0
		d.ScanArgs(w.t, "shards", &n)
		w.call++
		w.step(w.registry, &port.Request{Call: port.Call{Node: 1, ID: w.call}, Body: port.Relayout{Shards: n}})
		w.quiet()
	case "emptied", "retired":
		var shard, epoch int
		d.ScanArgs(w.t, "shard", &shard)
		from := port.ShardAddress(1, store.ShardID(shard))
		if d.Cmd == "retired" {
			w.step(w.registry, port.Retired{From: from})
		} else {
			d.ScanArgs(w.t, "epoch", &epoch)
			w.step(w.registry, port.Emptied{From: from, Epoch: store.Epoch(epoch)})
		}
		w.quiet()
	case "told":
		level := 0
		d.ScanArgs(w.t, "level", &level)
		w.step(w.registry, port.Fetched{Snapshot: &port.Snapshot{Version: 1 << 60, Level: port.Level(level)}})
		w.quiet()
	case "show":
		w.show()
	default:
		w.ask(d)
	}
	return w.out.String()
}

func (w *world) start(d *datadriven.TestData) {
	rng := rand.New(rand.NewPCG(7, uint64(w.now.UnixNano())))
	w.cfg = Config{Self: registryAt, Committer: committerAt, Owner: "here", Rand: rng.Uint64, Shards: 2, Exclusive: true}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "shards":
			fmt.Sscan(a.Vals[0], &w.cfg.Shards)
		case "shared":
			w.cfg.Exclusive = false
		case "level":
			fmt.Sscan(a.Vals[0], &w.cfg.Level)
		case "members":
			w.cfg.Exclusive, w.cfg.Owner, w.cfg.Members = false, "1@here", &port.Members{}
		}
	}
	w.registry, w.committer = New(w.cfg), journal.NewCommitter(committerAt)
	w.inbox, w.waiting, w.alarm, w.snapshot = nil, nil, time.Time{}, nil
	w.step(w.registry, port.Start{})
	w.quiet()
}

func (w *world) quiet() {
	for n := 0; len(w.inbox) > 0; n++ {
		if n > 10_000 {
			w.t.Fatal("never quiet")
		}
		next := w.inbox[0]
		w.inbox = w.inbox[1:]
		next()
	}
}

func (w *world) wait(p time.Duration) {
	end := w.now.Add(p)
	for !w.alarm.IsZero() && !w.alarm.After(end) {
		w.now = w.alarm
		w.alarm = time.Time{}
		w.step(w.registry, port.Alarmed{})
		w.quiet()
	}
	w.now = end
}

func (w *world) step(m port.Machine, in port.Input) {
	var out port.Effects
	m.Step(port.Clock{Wall: w.now, Mono: time.Duration(w.now.UnixNano())}, in, &out)
	for _, e := range out.List {
		w.effect(m, e)
	}
}

func (w *world) later(m port.Machine, in port.Input) {
	current := w.registry // what is meant for a process that crashed is lost
	w.inbox = append(w.inbox, func() {
		if current == w.registry {
			w.step(m, in)
		}
	})
}

func (w *world) effect(from port.Machine, e port.Effect) {
	switch e := e.(type) {
	case port.Send:
		switch e.To {
		case committerAt:
			w.later(w.committer, e.In)
		case registryAt:
			w.later(w.registry, e.In)
		}
		if in, ok := e.In.(port.Retire); ok {
			w.say("shard %d may end under epoch %d", e.To.Index, in.Epoch)
		}
	case port.Halt:
		w.say("halts: %s", e.Why)
	case port.Reply:
		w.reply(e)
	case port.Alarm:
		w.alarm = e.At
	case port.Publish:
		w.published(e.Snapshot)
	case port.AppendStore:
		do := func() {
			c := &port.Completed{Tag: e.Tag}
			c.Outcomes = w.store.Append(e.Batch)
			w.step(from, c)
		}
		if w.stalled {
			w.waiting = append(w.waiting, do)
		} else {
			w.inbox = append(w.inbox, do)
		}
	default:
		w.later(from, w.stored(e))
	}
}

// stored does the store calls that do not wait.
func (w *world) stored(e port.Effect) *port.Completed {
	switch e := e.(type) {
	case port.OpenStore:
		c := &port.Completed{Tag: e.Tag, Err: w.failing("open")}
		if c.Err == nil {
			c.Opened, c.Err = w.store.Open(e.Open)
		}
		w.say("open: %v", c.Err)
		return c
	case port.CreateShard:
		c := &port.Completed{Tag: e.Tag, Err: w.failing("create")}
		if c.Err == nil {
			c.Err = w.store.Create(e.Shard, e.Strips, e.Floor)
		}
		above := ""
		if e.Floor > 0 {
			above = fmt.Sprintf(", above epoch %d", e.Floor)
		}
		w.say("create shard %d, strips %d to %d%s: %v", e.Shard, e.Strips.From, e.Strips.To, above, c.Err)
		return c
	case port.FlushStore:
		return &port.Completed{Tag: e.Tag, Err: w.store.Flush(e.Flush)}
	case port.ReadStore:
		c := &port.Completed{Tag: e.Tag, Err: w.failing("read")}
		if c.Err == nil {
			c.Rows, _ = w.store.Get(e.Keys)
			c.Scans, _ = w.store.Scan(e.Ranges)
		}
		w.say("read: %v", c.Err)
		return c
	case port.ConfirmStore:
		owner, err := w.store.Confirm([]store.Fence{e.Fence})
		return &port.Completed{Tag: e.Tag, Err: err, Owner: err == nil && owner[0]}
	case port.AskOwner:
		owners, err := w.store.Owners([]store.ShardID{e.Shard})
		return &port.Completed{Tag: e.Tag, Err: err, Held: owners[0]}
	}
	w.t.Fatalf("effect %T", e)
	return nil
}

func (w *world) failing(kind string) error {
	if w.fail[kind] > 0 {
		w.fail[kind]--
		return store.ErrUnavailable
	}
	return nil
}

func (w *world) say(format string, args ...any) {
	line := strings.ReplaceAll(fmt.Sprintf(format, args...), "<nil>", "ok")
	w.out.WriteString(line + "\n")
}

func (w *world) published(s *port.Snapshot) {
	if w.snapshot != nil && s.Version <= w.snapshot.Version {
		w.t.Fatalf("version %d after %d", s.Version, w.snapshot.Version)
	}
	w.snapshot = s
	w.say("published: %d namespaces, %d keys, %d shards, level %d", len(s.ByName), len(s.Keys), len(s.Layout), s.Level)
}

func (w *world) show() {
	s := w.snapshot
	w.say("cluster %t, layout %d", len(s.Cluster) == 36, s.LayoutID)
	for _, k := range s.Keys {
		w.say("key %d of %d bytes", k.ID, len(k.Secret))
	}
	for _, l := range s.Layout {
		goes := ""
		if slices.Contains(s.Going, l.Shard) {
			goes = ", goes"
		}
		w.say("shard %d: strips %d to %d%s", l.Shard, l.Strips.From, l.Strips.To, goes)
	}
	var names []string
	for name := range s.ByName {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		n := s.ByName[name]
		if s.ByID[n.ID] != n || len(n.ID) != 36 {
			w.t.Errorf("namespace %s has id %q", name, n.ID)
		}
		w.say("namespace %s: %v, %v, %q, %q, %v, %v", n.Name, n.State, n.Retention, n.Description, n.OwnerEmail, n.Data, n.SearchAttributes)
	}
}

// ask sends a call; its reply is printed when it leaves.
func (w *world) ask(d *datadriven.TestData) {
	w.call++
	in := &port.Request{Call: port.Call{Node: 1, ID: w.call}, Body: w.request(d)}
	w.step(w.registry, in)
	w.quiet()
}

func (w *world) request(d *datadriven.TestData) proto.Message {
	args := map[string]string{}
	for _, a := range d.CmdArgs {
		args[a.Key] = strings.Join(a.Vals, ",")
	}
	duration := func(key string) *durationpb.Duration {
		if args[key] == "" {
			return nil
		}
		p, err := time.ParseDuration(args[key])
		if err != nil {
			w.t.Fatal(err)
		}
		return durationpb.New(p)
	}
	var data map[string]string
	if args["data"] != "" {
		k, v, _ := strings.Cut(args["data"], ":")
		data = map[string]string{k: v}
	}
	state, _ := enumspb.NamespaceStateFromString(args["state"])
	size := int32(0)
	fmt.Sscan(args["size"], &size)
	switch d.Cmd {
	case "register":
		req := &workflowservice.RegisterNamespaceRequest{
			Namespace: args["name"], Description: args["description"], OwnerEmail: args["owner"], Data: data, WorkflowExecutionRetentionPeriod: duration("retention"),
			ActiveClusterName: args["active"], IsGlobalNamespace: args["global"] != "",
		}
		if args["cluster"] != "" {
			req.Clusters = []*replicationpb.ClusterReplicationConfig{{ClusterName: "active"}, {ClusterName: args["cluster"]}}
		}
		return req
	case "describe":
		id := args["id"]
		if n := w.snapshot.ByName[args["id-of"]]; n != nil {
			id = n.ID
		}
		return &workflowservice.DescribeNamespaceRequest{Namespace: args["name"], Id: id}
	case "list":
		return &workflowservice.ListNamespacesRequest{PageSize: size, NextPageToken: []byte(args["after"]), NamespaceFilter: &namespacepb.NamespaceFilter{IncludeDeleted: args["deleted"] != ""}}
	case "update":
		req := &workflowservice.UpdateNamespaceRequest{
			Namespace: args["name"], PromoteNamespace: args["promote"] != "",
			UpdateInfo: &namespacepb.UpdateNamespaceInfo{Description: args["description"], OwnerEmail: args["owner"], Data: data, State: state},
			Config:     &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: duration("retention")},
		}
		if args["active"] != "" {
			req.ReplicationConfig = &replicationpb.NamespaceReplicationConfig{ActiveClusterName: args["active"]}
		}
		return req
	case "deprecate":
		return &workflowservice.DeprecateNamespaceRequest{Namespace: args["name"]}
	case "add":
		types := map[string]enumspb.IndexedValueType{}
		for _, line := range strings.Fields(d.Input) {
			name, of, _ := strings.Cut(line, ":")
			types[name], _ = enumspb.IndexedValueTypeFromString(of)
		}
		return &operatorservice.AddSearchAttributesRequest{Namespace: args["name"], SearchAttributes: types}
	case "remove":
		return &operatorservice.RemoveSearchAttributesRequest{Namespace: args["name"], SearchAttributes: strings.Fields(d.Input)}
	case "attributes":
		return &operatorservice.ListSearchAttributesRequest{Namespace: args["name"]}
	}
	w.t.Fatalf("%s: unknown command", d.Cmd)
	return nil
}

func (w *world) reply(r port.Reply) {
	if r.Refusal != nil {
		detail := ""
		if r.Refusal.Detail != nil {
			detail = fmt.Sprintf(" [%s]", r.Refusal.Detail.ProtoReflect().Descriptor().Name())
		}
		w.say("call %d: %d %s%s", r.Call.ID, r.Refusal.Code, r.Refusal.Message, detail)
		return
	}
	switch m := r.Body.Message.(type) {
	case *workflowservice.DescribeNamespaceResponse:
		w.say("call %d: %s", r.Call.ID, told(m.NamespaceInfo, m.Config, m.ReplicationConfig))
	case *workflowservice.UpdateNamespaceResponse:
		w.say("call %d: %s", r.Call.ID, told(m.NamespaceInfo, m.Config, m.ReplicationConfig))
	case *workflowservice.ListNamespacesResponse:
		var names []string
		for _, n := range m.Namespaces {
			names = append(names, n.NamespaceInfo.Name)
		}
		w.say("call %d: %v, next %q", r.Call.ID, names, m.NextPageToken)
	case *operatorservice.ListSearchAttributesResponse:
		w.say("call %d: custom %v, %d of the system", r.Call.ID, m.CustomAttributes, len(m.SystemAttributes))
	default:
		w.say("call %d: ok", r.Call.ID)
	}
}

func told(i *namespacepb.NamespaceInfo, c *namespacepb.NamespaceConfig, r *replicationpb.NamespaceReplicationConfig) string {
	return fmt.Sprintf("%s, %v, kept %v, %q, %q, %v, at %s (%v), limits %d %d %d", i.Name, i.State, c.WorkflowExecutionRetentionTtl.AsDuration(), i.Description, i.OwnerEmail, i.Data,
		r.ActiveClusterName, r.State, i.Limits.BlobSizeLimitError, i.Limits.MemoSizeLimitError, i.Limits.WorkflowTaskCompletionSizeLimitError)
}
