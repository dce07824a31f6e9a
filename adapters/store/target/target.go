// Package target reads what --store names: a URL whose scheme is the kind of
// database, with parameters that each kind of database knows for itself.
package target

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Target is one database: scheme://user:password@hosts/name?parameters.
type Target struct {
	Scheme   string
	User     string
	Password string
	Hosts    string // as written: host, host:port, or several of them with commas between
	Name     string // of the database or keyspace
	given    url.Values
	asked    map[string]bool
	errs     []error
}

// Parse reads a URL. password, if there is one, wins over that of the URL.
func Parse(text, password string) (*Target, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || scheme == "" {
		return nil, errors.New("a store is written scheme://user@host:port/name, or left empty for SQLite in --data")
	}
	t := &Target{Scheme: scheme, Password: password, asked: map[string]bool{}}
	rest, query, _ := strings.Cut(rest, "?")
	var err error
	if t.given, err = url.ParseQuery(query); err != nil {
		return nil, fmt.Errorf("the parameters after the question mark cannot be read: %w", err)
	}
	authority, name, _ := strings.Cut(rest, "/")
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		if err := t.credentials(authority[:at]); err != nil {
			return nil, err
		}
		authority = authority[at+1:]
	}
	if t.Hosts = authority; t.Hosts == "" {
		return nil, fmt.Errorf("%s://: the host is missing", scheme)
	}
	if t.Name, err = url.PathUnescape(name); err != nil {
		return nil, fmt.Errorf("%s://: the name of the database cannot be read: %w", scheme, err)
	}
	return t, nil
}

// credentials never shows what it was given: it may be a password.
func (t *Target) credentials(text string) error {
	user, password, has := strings.Cut(text, ":")
	name, err := url.PathUnescape(user)
	if err != nil {
		return errors.New("the user cannot be read: write special characters as %XX")
	}
	t.User = name
	if !has || t.Password != "" {
		return nil
	}
	if t.Password, err = url.PathUnescape(password); err != nil {
		return errors.New("the password cannot be read: write special characters as %XX, or give it in PERDURE_STORE_PASSWORD")
	}
	return nil
}

// String is the target for people: without password and parameters.
func (t *Target) String() string {
	user := ""
	if t.User != "" {
		user = t.User + "@"
	}
	return t.Scheme + "://" + user + t.Hosts + "/" + t.Name
}

// Text takes a parameter; several allowed values may be listed.
func (t *Target) Text(name, otherwise string, allowed ...string) string {
	t.asked[name] = true
	values, given := t.given[name]
	if !given {
		return otherwise
	}
	v := values[len(values)-1]
	if len(values) > 1 {
		t.refuse("parameter %q is given %d times", name, len(values))
	}
	if len(allowed) > 0 && !slices.Contains(allowed, v) {
		t.refuse("parameter %s=%q is not one of %s", name, v, strings.Join(allowed, ", "))
	}
	return v
}

// Number takes a parameter between least and most.
func (t *Target) Number(name string, otherwise, least, most int) int {
	text := t.Text(name, strconv.Itoa(otherwise))
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		t.refuse("parameter %s=%q is not a number from %d to %d", name, text, least, most)
		return otherwise
	}
	return n
}

// Duration takes a parameter such as 500ms or 10s, between least and most.
func (t *Target) Duration(name string, otherwise, least, most time.Duration) time.Duration {
	text := t.Text(name, otherwise.String())
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		t.refuse("parameter %s=%q is not a duration from %v to %v", name, text, least, most)
		return otherwise
	}
	return d
}

func (t *Target) refuse(format string, args ...any) {
	t.errs = append(t.errs, fmt.Errorf("%s://: "+format, append([]any{t.Scheme}, args...)...))
}

// Err refuses parameters that were wrong and those that nobody asked for.
func (t *Target) Err() error {
	for _, name := range slices.Sorted(maps.Keys(t.given)) {
		if !t.asked[name] {
			t.refuse("there is no parameter %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(t.asked)), ", "))
		}
	}
	return errors.Join(t.errs...)
}
