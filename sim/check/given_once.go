package check

// P27 given_once: an attempt of an activity reaches one worker. Its start is
// durable before anyone sees it, so not even a crash excuses a second one.

// given names an attempt of an activity, as workers see it.
type given struct {
	run, activity string
	scheduled     int64 // when this attempt was
	attempt       int32
}

// Given is told that a worker got an attempt of an activity.
func (l *Ledger) Given(run, activity string, scheduled int64, attempt int32, worker string) *Breach {
	k := given{run, activity, scheduled, attempt}
	if before, twice := l.given[k]; twice {
		return breach(GivenOnce, run, "attempt %d of activity %s was given to %s, which got it from the server after %s had", attempt, activity, worker, before)
	}
	l.given[k] = worker
	return nil
}
