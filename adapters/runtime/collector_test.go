package runtime

import "testing"

func TestGrowthFollowsTheBudget(t *testing.T) {
	const mib = 1 << 20
	for _, x := range []struct {
		budget, live uint64
		want         int
	}{
		{160 * mib, 0, mostGrowth},
		{160 * mib, 8 * mib, mostGrowth},
		{160 * mib, 40 * mib, 300},
		{160 * mib, 80 * mib, 100},
		{160 * mib, 150 * mib, leastGrowth},
		{160 * mib, 400 * mib, leastGrowth},
	} {
		if got := growth(x.budget, x.live); got != x.want {
			t.Errorf("budget %d MiB, live %d MiB: %d%%, want %d%%", x.budget/mib, x.live/mib, got, x.want)
		}
	}
}
