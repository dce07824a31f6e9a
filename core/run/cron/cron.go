// Package cron reads cron schedules: five fields, or a descriptor as @daily or
// @every 1h, in UTC unless a time zone is named by CRON_TZ=. It is arithmetic
// on values: what now is, the caller says.
package cron

import (
	"time"

	"github.com/robfig/cron/v3"

	"perdure/core/port"
)

// None is the backoff of a workflow without a next run.
const None time.Duration = -1

// Validate refuses what is not a schedule, or one without any time after now
// (the 30th of February); the empty one is fine and means none.
func Validate(schedule string, now time.Time) *port.Refusal {
	if schedule == "" {
		return nil
	}
	s, ok := parse(schedule)
	if !ok {
		return port.Invalid("invalid CronSchedule.")
	}
	if s.Next(now.UTC()).IsZero() {
		return port.Invalid("invalid CronSchedule, no time can be found to satisfy the schedule")
	}
	return nil
}

func parse(schedule string) (s cron.Schedule, ok bool) {
	// The parser panics on "TZ=" without a space behind it.
	defer func() { ok = recover() == nil && s != nil }()
	s, err := cron.ParseStandard(schedule)
	if err != nil {
		return nil, false
	}
	return s, true
}

// Backoff is how long after now the next run may start its first workflow
// task. The schedule is counted from when the present run was due (its
// execution time, from); times before now are skipped. It is rounded to
// whole seconds, up, so that a run never starts early. None if the schedule is
// empty, wrong, or has no next time.
func Backoff(schedule string, from, now time.Time) time.Duration {
	if schedule == "" {
		return None
	}
	s, ok := parse(schedule)
	if !ok {
		return None
	}
	next := next(s, from.UTC(), now.UTC())
	if next.IsZero() {
		return None
	}
	wait := next.Sub(now)
	if part := wait % time.Second; part != 0 {
		wait += time.Second - part
	}
	return wait
}

// next is the first time after from that is not before now. It does not step
// through what has passed: a run may have been open for years.
func next(s cron.Schedule, from, now time.Time) time.Time {
	if now.Before(from) {
		return from
	}
	first := s.Next(from)
	if first.IsZero() || !first.Before(now) {
		return first
	}
	if every, ok := s.(cron.ConstantDelaySchedule); ok {
		passed := (now.Sub(first) + every.Delay - 1) / every.Delay
		return first.Add(passed * every.Delay)
	}
	// Times of a calendar do not depend on where one counts from.
	return s.Next(now.Add(-1))
}
