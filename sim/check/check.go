// Package check holds the promises of the server against what it did. The
// ledger knows what is durable: it reads every record that takes effect in the
// journal. Each promise has an id, a file of its own, and a test of its own with
// a forged breach of it; P15 shares those of P2, and what only callers see broken is
// looked after where they are: P12 and P16 in sim/workload, P14 in cmd/sim. Checkers
// are never switched off under faults.
package check

import "fmt"

// Promise is one promise: its id and its name.
type Promise string

// The promises.
const (
	EffectsOnce          Promise = "P1 effects_once"
	ReplyAfterDurable    Promise = "P2 reply_after_durable"
	TimerNeverEarly      Promise = "P3 timer_never_early"
	TimerNeverLost       Promise = "P4 timer_never_lost"
	HistoryWellFormed    Promise = "P5 history_well_formed"
	StateEqualsFold      Promise = "P6 state_equals_fold"
	DueEqualsIndex       Promise = "P7 due_equals_index"
	NoSilentStall        Promise = "P8 no_silent_stall"
	QuerySeesSignals     Promise = "P9 query_sees_signals"
	RetentionOnlyWhenDue Promise = "P10 retention_only_when_due"
	NoPanic              Promise = "P11 no_panic"
	ReplayFits           Promise = "P12 replay_fits"
	TrimOnlyFlushed      Promise = "P13 trim_only_flushed"
	SameSeedSameHash     Promise = "P14 same_seed_same_hash"
	ShownIsDurable       Promise = "P15 shown_is_durable"
	AnswersHonest        Promise = "P16 answers_honest"
	ReadsAreCurrent      Promise = "P17 reads_are_current"
	AnsweredByItsHolder  Promise = "P18 answered_by_its_holder"
	OutcomeAfterDurable  Promise = "P19 outcome_after_durable"
	OneOwnerCommits      Promise = "P20 one_owner_commits"
	RetriesAsAsked       Promise = "P21 retries_as_asked"
	ChainIDs             Promise = "P22 chain_ids"
	ParentChildAgree     Promise = "P23 parent_child_agree"
	Linearizable         Promise = "P24 linearizable"
	BacklogDrains        Promise = "P25 backlog_drains"
	QueueOrder           Promise = "P26 queue_order"
	GivenOnce            Promise = "P27 given_once"
	CallsAnswered        Promise = "P28 calls_answered"
	NonsenseRefused      Promise = "P29 nonsense_refused"
	MemoryBounded        Promise = "P30 memory_bounded"
	PublishedIsDurable   Promise = "P31 published_is_durable"
	AsksBeforeDisplacing Promise = "P32 asks_before_displacing"
	LevelKnownByAll      Promise = "P33 level_known_by_all"
	GrantedWhenLeft      Promise = "P34 granted_when_left"
	OneLayoutServes      Promise = "P35 one_layout_serves"
)

// Breach is a broken promise.
type Breach struct {
	Promise Promise
	About   string // a workflow or run id, for the trace; may be empty
	Text    string
}

func (b *Breach) Error() string {
	if b.About == "" {
		return fmt.Sprintf("%s: %s", b.Promise, b.Text)
	}
	return fmt.Sprintf("%s: %s (%s)", b.Promise, b.Text, b.About)
}

// breach makes one.
func breach(p Promise, about, format string, args ...any) *Breach {
	return &Breach{p, about, fmt.Sprintf(format, args...)}
}
