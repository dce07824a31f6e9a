package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"perdure/core/store"
)

// Whatever the server believes of the tables, no statement reads more of one than it
// names keys of: it may have counted their rows when there were none.
func TestEveryPlanGoesByTheKey(t *testing.T) {
	x, url := subjectAt(t, Options{})
	defer x.Discard()
	set, err := settingsOf(at(t, url))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	c, err := pgx.ConnectConfig(ctx, set.config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, "VACUUM ANALYZE", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	owner := owned(t, x.Store, 1) // behind the statistics' back
	if got := x.Store.Append([]store.Append{{Fence: owner, Seq: 1, Record: []byte("r")}}); got[0] != store.Done {
		t.Fatal(got)
	}
	f := store.Flush{Fence: owner, Number: 1}
	for _, table := range store.Tables() {
		f.Rows = append(f.Rows, store.Row{Key: store.Key{Table: table, Partition: "p", Key: "k"}, Version: 1, Value: []byte("v")})
	}
	if err := x.Store.Flush(f); err != nil {
		t.Fatal(err)
	}
	for n, query := range queries {
		if statement(n) == raiseEpoch || statement(n) == retireShard || statement(n) == showSetting {
			continue // of one shard, now and then; or of no table
		}
		for _, broken := range scansWithoutKey(planOf(ctx, t, c, fmt.Sprint("q", n), query)) {
			t.Errorf("%s\nin the plan of%s", broken, query)
		}
	}
}

var parameter = regexp.MustCompile(`\$\d+`)

// plan is a node of one.
type plan struct {
	Type     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Cond     string `json:"Index Cond"`
	Plans    []plan
}

func planOf(ctx context.Context, t *testing.T, c *pgx.Conn, name, query string) plan {
	t.Helper()
	parameters := map[string]bool{}
	for _, p := range parameter.FindAllString(query, -1) {
		parameters[p] = true
	}
	nulls := strings.TrimSuffix(strings.Repeat("NULL,", len(parameters)), ",")
	if _, err := c.Exec(ctx, "PREPARE "+name+" AS "+query, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	var text string
	if err := c.QueryRow(ctx, "EXPLAIN (FORMAT json) EXECUTE "+name+"("+nulls+")", pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
		t.Fatal(err)
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		t.Fatal(err)
	}
	return plans[0].Plan
}

// scansWithoutKey are the reads of journal and tables that may pass over rows that are not asked for.
func scansWithoutKey(p plan) (found []string) {
	small := p.Relation == "" || p.Relation == "shard" || p.Relation == "fence" // a row a shard
	byKey := p.Type == "Tid Scan" || p.Type == "ModifyTable" || strings.HasPrefix(p.Type, "Index") && strings.Contains(p.Cond, "AND") ||
		strings.HasPrefix(p.Type, "Index") && strings.Contains(p.Cond, "part = ")
	if !small && !byKey {
		found = append(found, fmt.Sprintf("%s on %s, by %q", p.Type, p.Relation, p.Cond))
	}
	for _, below := range p.Plans {
		found = append(found, scansWithoutKey(below)...)
	}
	return found
}
