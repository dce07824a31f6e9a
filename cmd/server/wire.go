package main

import (
	crand "crypto/rand"
	"math/rand/v2"
	_ "time/tzdata" // cron schedules may name time zones that the machine does not know

	"perdure/adapters/config"
	"perdure/core/node"
	"perdure/core/port"
	"perdure/core/store"
)

// Shares of the memory limit. What is left is for requests under way, connections and the collector.
const (
	nodeShare  = 8  // an eighth for runs in memory and rows not yet flushed
	storeShare = 64 // page caches of the database
)

// wire opens the store and makes the machines of a single node.
func wire(s *config.Settings) (*parts, error) {
	limit, _ := s.Memory()
	log := s.Logger()
	db, err := openStore(s, log)
	if err != nil {
		return nil, err
	}
	n := node.New(node.Config{
		Owner: s.GRPCAddr, Exclusive: db.Exclusive(), Apart: db.Apart(), Rand: generator, Shards: s.Shards, MemoryBytes: int(limit) / nodeShare, MinRetention: s.MinRetention,
		Opened: func(shard store.ShardID, tailRows int) {
			log.Info("shard opened", "shard", uint32(shard), "tail_rows", tailRows)
		},
		Quarantined: func(run port.RunKey, what string) {
			log.Error("a run broke an invariant and is set aside until the server is started again; nothing recorded is lost",
				"namespace_id", run.NamespaceID, "workflow_id", run.WorkflowID, "run_id", run.RunID, "what", what)
		},
	})
	return &parts{
		store: db, frontend: n.Frontend, node: n.First[0].Address.Node, machines: n.First,
		more: func(s *port.Snapshot) []node.Machine { return n.Machines(s, nil) },
	}, nil
}

// generator makes a machine's own source of randomness, which nobody can guess:
// the keys of task tokens come from one.
func generator(string) func() uint64 {
	var seed [32]byte
	if _, err := crand.Read(seed[:]); err != nil {
		panic("no randomness from the operating system: " + err.Error())
	}
	return rand.NewChaCha8(seed).Uint64
}
