package runtime

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"perdure/core/port"
	"perdure/core/store"
)

// outage follows whether the store takes changes. Machines repeat failed calls
// on their own, so this decides nothing for them: it tells health checks and the
// log, once each way, and keeps callers from waiting for what may take hours.
type outage struct {
	notice  time.Duration // how long changes fail before anybody is told
	refuse  time.Duration // and before callers are refused
	log     *slog.Logger
	refused func(*port.Refusal) // answers everybody who waits

	closed   atomic.Bool  // callers are refused
	troubled atomic.Bool  // the last change failed; what says so without a lock
	pending  atomic.Int32 // appends under way

	mu      sync.Mutex
	begun   time.Time
	reason  error
	guessed bool // reason is another call's
	timer   *time.Timer
	told    bool
	blocked bool        // the last append failed: another change that works is not the end of it
	calm    *time.Timer // since such a change
	watcher func(works bool)
}

// errUnanswered is the reason if the store gave none: an append has no error, only an outcome.
var errUnanswered = errors.New("appends are not answered")

var unavailableStore = port.Refuse(port.Unavailable, "the database takes no changes at the moment; retry with back-off")

// failed hears of a change that failed, or may have.
func (o *outage) failed(reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail(reason)
}

func (o *outage) fail(reason error) {
	o.hush()
	if reason != nil {
		o.reason, o.guessed = reason, false
	}
	if o.troubled.Swap(true) {
		return
	}
	o.begun = time.Now()
	o.timer = time.AfterFunc(o.notice, o.tell)
}

// explain hears why something else than a change failed: if changes fail too, that is
// why. The first of these errors may only say that its connection ended, so the last one counts.
func (o *outage) explain(err error) {
	if err == nil || !o.troubled.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reason == nil || o.guessed {
		o.reason, o.guessed = err, true
	}
}

// worked hears of a change that was made, other than an append. A database may take these and no append, with a full
// disk for one: if appends fail, it is over when none has failed for a while.
func (o *outage) worked() {
	if !o.troubled.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !o.blocked:
		o.end()
	case o.calm == nil:
		o.calm = time.AfterFunc(o.notice/2, o.calmed)
	}
}

func (o *outage) hush() {
	if o.calm != nil {
		o.calm.Stop()
		o.calm = nil
	}
}

// calmed is the timer's: an append that is under way will tell.
func (o *outage) calmed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.calm == nil {
		return
	}
	if o.calm = nil; o.pending.Load() == 0 {
		o.end()
	}
}

func (o *outage) end() {
	o.blocked = false
	o.hush()
	if !o.troubled.Swap(false) {
		return
	}
	o.timer.Stop()
	o.closed.Store(false)
	o.reason = nil
	if o.told {
		o.told = false
		o.log.Info("the database takes changes again", "after", time.Since(o.begun))
		o.watch(true)
	}
}

// tell is the timer's.
func (o *outage) tell() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.troubled.Load() {
		return
	}
	o.told = true
	if o.reason == nil {
		o.reason = errUnanswered
	}
	o.log.Error("the database takes no changes; work waits and goes on by itself", "reason", o.reason)
	o.watch(false)
	o.timer = time.AfterFunc(o.refuse-o.notice, o.close)
}

func (o *outage) watch(works bool) {
	if o.watcher != nil {
		o.watcher(works)
	}
}

// close refuses those who wait, and those who come until the store works again.
func (o *outage) close() {
	o.mu.Lock()
	troubled := o.troubled.Load()
	o.closed.Store(troubled)
	o.mu.Unlock()
	if troubled {
		o.refused(unavailableStore)
	}
}

func (o *outage) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.timer != nil {
		o.timer.Stop()
	}
	o.hush()
	o.watcher = nil
}

// appended looks at the outcomes of an append: one that is known came from a store that works.
func (o *outage) appended(outcomes []store.Outcome) {
	if len(outcomes) == 0 {
		return
	}
	known := false
	for _, outcome := range outcomes {
		known = known || outcome != store.Unknown
	}
	if known && !o.troubled.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if known {
		o.end()
		return
	}
	o.blocked = true
	o.fail(nil)
}

// changed looks at the answer of a call that changes something.
func (o *outage) changed(e port.Effect, err error) {
	switch e.(type) {
	case port.WriteStore, port.FlushStore, port.OpenStore, port.CreateShard, port.ReleaseStore:
	default:
		o.explain(err)
		return
	}
	for _, answer := range [...]error{nil, store.ErrFenced, store.ErrRetired, store.ErrNoShard, store.ErrExists, store.ErrNotEmpty} {
		if errors.Is(err, answer) {
			o.worked()
			return
		}
	}
	o.failed(err)
}

// WatchStore tells f whether the store takes changes, now and whenever that changes.
func (r *Runtime) WatchStore(f func(works bool)) {
	o := &r.outage
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watcher = f
	f(!o.told)
}
