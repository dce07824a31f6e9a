package sim

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// aloneVariable asks this test binary to print hashes and nothing else.
const aloneVariable = "SIM_TEST_HASHES"

// TestSameHashEverywhere: a seed gives the same hash with one thread or several,
// and in another process.
func TestSameHashEverywhere(t *testing.T) {
	if os.Getenv(aloneVariable) != "" {
		fmt.Println("hashes:", hashes())
		return
	}
	here := hashes()
	before := runtime.GOMAXPROCS(1)
	one := hashes()
	runtime.GOMAXPROCS(before)
	if one != here {
		t.Errorf("with %d threads %s, with one %s", before, here, one)
	}
	other := exec.Command(os.Args[0], "-test.run", "^TestSameHashEverywhere$")
	other.Env = append(os.Environ(), aloneVariable+"=1", "GOMAXPROCS=3")
	said, err := other.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "hashes: "+here) {
		t.Errorf("%v; here %s, another process says %s", err, here, said)
	}
}

func hashes() string {
	var all []string
	for seed := uint64(1); seed <= 4; seed++ {
		all = append(all, fmt.Sprintf("%016x", Run(seed, Options{}).Hash))
	}
	return strings.Join(all, " ")
}

func TestFirstDifference(t *testing.T) {
	if step := FirstDifference(2, Options{}); step != 0 {
		t.Errorf("two runs of a seed differ at step %d", step)
	}
}
