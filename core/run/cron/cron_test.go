package cron

import (
	"math/rand/v2"
	"testing"
	"time"
)

var day = time.Date(2026, 3, 4, 10, 20, 30, 500, time.UTC)

func TestValidate(t *testing.T) {
	const bad, never = "invalid CronSchedule.", "invalid CronSchedule, no time can be found to satisfy the schedule"
	for _, x := range []struct{ schedule, want string }{
		{"", ""},
		{"* * * * *", ""},
		{"@every 1h", ""},
		{"@daily", ""},
		{"CRON_TZ=Europe/Berlin 0 9 * * *", ""},
		{"nonsense", bad},
		{"* * * *", bad},
		{"60 * * * *", bad},
		{"CRON_TZ=Nowhere/City * * * * *", bad},
		{"TZ=", bad},
		{"CRON_TZ=UTC", bad},
		{"0 0 30 2 *", never},
	} {
		got := ""
		if r := Validate(x.schedule, day); r != nil {
			got = r.Message
		}
		if got != x.want {
			t.Errorf("%q: %q, want %q", x.schedule, got, x.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse("15:04:05.999", s)
		if err != nil {
			t.Fatal(err)
		}
		return day.Truncate(24 * time.Hour).Add(v.Sub(v.Truncate(24 * time.Hour)))
	}
	for _, x := range []struct {
		schedule, from, now string
		want                time.Duration
	}{
		{"", "10:00:00", "10:00:00", None},
		{"nonsense", "10:00:00", "10:00:00", None},
		{"0 0 30 2 *", "10:00:00", "10:00:00", None},
		{"* * * * *", "10:00:00", "10:00:00", time.Minute},
		{"* * * * *", "10:00:00", "10:00:30", 30 * time.Second},
		{"* * * * *", "10:00:00", "10:00:30.001", 30 * time.Second},
		{"* * * * *", "10:00:00", "10:00:29.999", 31 * time.Second},
		{"* * * * *", "10:00:00", "10:05:20", 40 * time.Second},
		{"* * * * *", "10:00:00", "10:05:00", 0},
		{"* * * * *", "10:07:00", "10:05:00", 2 * time.Minute},
		{"@every 10s", "10:00:00", "10:00:04", 6 * time.Second},
		{"@every 10s", "10:00:00", "10:00:34", 6 * time.Second},
		{"@every 10s", "10:00:00", "10:00:30", 0},
		{"@every 10s", "10:00:00.7", "10:00:04", 6 * time.Second},
	} {
		if got := Backoff(x.schedule, at(x.from), at(x.now)); got != x.want {
			t.Errorf("%q from %s at %s: %v, want %v", x.schedule, x.from, x.now, got, x.want)
		}
	}
}

// The obvious way: step through the series until it has reached now.
func TestBackoffStepByStep(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		schedule := []string{"* * * * *", "*/7 3-5 * * *", "@every 13s", "@every 1m1s", "CRON_TZ=Europe/Berlin 30 2 * * *"}[rng.IntN(5)]
		from := day.Add(time.Duration(rng.Int64N(int64(400 * 24 * time.Hour))))
		now := from.Add(time.Duration(rng.Int64N(int64(30 * time.Hour))))
		s, _ := parse(schedule)
		want := s.Next(from)
		for want.Before(now) {
			want = s.Next(want)
		}
		wait := want.Sub(now)
		if got := Backoff(schedule, from, now); got < wait || got-wait >= time.Second || got%time.Second != 0 {
			t.Fatalf("%q from %v at %v: %v, want %v", schedule, from, now, got, wait)
		}
	}
}
