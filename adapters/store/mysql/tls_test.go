package mysql

import (
	"strings"
	"testing"

	"perdure/adapters/store/service"
)

// A certificate is taken from the authority that was named, for the host that
// was named, and from nobody else. MySQL's own TLS is too old for Go in the version of the tests.
func TestCertificatesAreVerified(t *testing.T) {
	url, giveBack := databases.Empty(t, "mariadb")
	defer giveBack()
	url, _, _ = strings.Cut(url, "?")
	ca := service.CA(t, "mariadb")
	good := url + "?tls=true&tlsca=" + ca
	s, err := Open(at(t, good), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := direct(good)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var name, cipher string
	if err := db.QueryRow("SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
		t.Errorf("cipher %q, %v", cipher, err)
	}
	for _, c := range []struct{ url, why string }{
		{url + "?tls=true&tlsca=" + service.StrangeCA(t), "unknown authority"},
		{url + "?tls=true", "unknown authority"},
		{strings.Replace(url, "127.0.0.1", "localhost", 1) + "?tls=true&tlsca=" + ca, "localhost"},
	} {
		if s, err := Open(at(t, c.url), Options{}); err == nil {
			s.Close()
			t.Errorf("%s: it was trusted", c.why)
		} else if !strings.Contains(err.Error(), c.why) {
			t.Errorf("%v, want %q", err, c.why)
		}
	}
}
