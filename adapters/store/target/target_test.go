package target

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text, password string
		want           Target
		shown          string
	}{
		{"postgres://u:p@h:5432/db", "", Target{Scheme: "postgres", User: "u", Password: "p", Hosts: "h:5432", Name: "db"}, "postgres://u@h:5432/db"},
		{"postgres://u:p@h/db", "other", Target{Scheme: "postgres", User: "u", Password: "other", Hosts: "h", Name: "db"}, "postgres://u@h/db"},
		{"mysql://u%40x:p%2F%3A@[::1]:3306/db", "", Target{Scheme: "mysql", User: "u@x", Password: "p/:", Hosts: "[::1]:3306", Name: "db"}, "mysql://u@x@[::1]:3306/db"},
		{"cassandra://a:1,b:2,c/space?x=1", "", Target{Scheme: "cassandra", Hosts: "a:1,b:2,c", Name: "space"}, "cassandra://a:1,b:2,c/space"},
		{"postgres://%2Frun%2Fpg/db", "", Target{Scheme: "postgres", Hosts: "%2Frun%2Fpg", Name: "db"}, "postgres://%2Frun%2Fpg/db"},
	} {
		got, err := Parse(c.text, c.password)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got.Scheme != c.want.Scheme || got.User != c.want.User || got.Password != c.want.Password || got.Hosts != c.want.Hosts || got.Name != c.want.Name || got.String() != c.shown {
			t.Errorf("%s: got %+v, shown %s", c.text, got, got)
		}
	}
}

func TestWhatCannotBeReadIsRefusedWithoutShowingPasswords(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"nonsense", "scheme://"},
		{"://h", "scheme://"},
		{"postgres:///db", "host"},
		{"postgres://u:secret%zz@h/db", "password"},
		{"postgres://u%zz:secret@h/db", "user"},
		{"postgres://u:secret@h/db%zz", "name"},
		{"postgres://u:secret@h/db?a=%zz", "parameters"},
	} {
		_, err := Parse(c.text, "")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

func TestParametersAreRefusedByName(t *testing.T) {
	take := func(query string) (string, int, time.Duration, error) {
		at, err := Parse("x://h/db?"+query, "")
		if err != nil {
			t.Fatal(err)
		}
		mode := at.Text("mode", "a", "a", "b")
		n := at.Number("n", 3, 1, 9)
		d := at.Duration("d", time.Second, time.Millisecond, time.Minute)
		return mode, n, d, at.Err()
	}
	if mode, n, d, err := take(""); mode != "a" || n != 3 || d != time.Second || err != nil {
		t.Errorf("defaults: %v %v %v %v", mode, n, d, err)
	}
	if mode, n, d, err := take("mode=b&n=9&d=2s"); mode != "b" || n != 9 || d != 2*time.Second || err != nil {
		t.Errorf("given: %v %v %v %v", mode, n, d, err)
	}
	for query, want := range map[string]string{
		"mode=c": "mode", "n=0": "n=", "n=x": "n=", "d=3h": "d=", "d=5": "d=", "nosuch=1": `"nosuch"; there are d, mode, n`, "n=1&n=2": "2 times",
	} {
		if _, _, _, err := take(query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", query, err)
		}
	}
}
