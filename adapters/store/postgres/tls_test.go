package postgres

import (
	"strings"
	"testing"

	"perdure/adapters/store/service"
)

// A certificate is taken from the authority that was named, for the host that was named, and from nobody else.
func TestCertificatesAreVerified(t *testing.T) {
	url, giveBack := databases.Empty(t, "postgres")
	defer giveBack()
	ca := service.CA(t, "postgres")
	s, err := Open(at(t, url+"?sslmode=verify-full&sslrootcert="+ca), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	encrypted := ""
	if err := s.rows.do(s.timeout, func(c *conn) error {
		got := c.ExecParams(t.Context(), "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()", nil, nil, nil, nil).Read()
		if got.Err == nil {
			encrypted = string(got.Rows[0][0])
		}
		return got.Err
	}); err != nil || encrypted != "true" {
		t.Errorf("encrypted: %q, %v", encrypted, err)
	}
	for _, c := range []struct{ url, why string }{
		{url + "?sslmode=verify-full&sslrootcert=" + service.StrangeCA(t), "unknown authority"},
		{strings.Replace(url, "127.0.0.1", "localhost", 1) + "?sslmode=verify-full&sslrootcert=" + ca, "localhost"},
	} {
		if s, err := Open(at(t, c.url), Options{}); err == nil {
			s.Close()
			t.Errorf("%s: it was trusted", c.why)
		} else if !strings.Contains(err.Error(), c.why) {
			t.Errorf("%v, want %q", err, c.why)
		}
	}
}
