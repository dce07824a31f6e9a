package cassandra

import (
	"strings"
	"testing"

	"perdure/adapters/store/service"
	"perdure/adapters/store/target"
)

// A certificate is taken from the authority that was named and from nobody else.
func TestCertificatesAreVerified(t *testing.T) {
	plain := ready(t)
	if len(plain.Hosts) > 1 {
		t.Skip("the certificate is the first node's alone")
	}
	connected := func(parameters string) error {
		at, err := target.Parse("cassandra://"+plain.Hosts[0]+"/"+plain.Keyspace+"?"+parameters, "")
		if err != nil {
			t.Fatal(err)
		}
		opts, err := FromTarget(at)
		if err != nil {
			t.Fatal(err)
		}
		s, err := open(opts.withDefaults())
		if err == nil {
			defer s.Close()
			owners, err := s.Owners(nil)
			if err != nil || len(owners) != 0 {
				t.Errorf("%v, %v", owners, err)
			}
		}
		return err
	}
	if err := connected("tls=on&tls_ca=" + service.CA(t, which())); err != nil {
		t.Error(err)
	}
	if err := connected("tls=insecure"); err != nil {
		t.Error(err)
	}
	for _, parameters := range []string{"tls=on&tls_ca=" + service.StrangeCA(t), "tls=on"} {
		if err := connected(parameters); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("%s: %v, want an unknown authority", parameters, err)
		}
	}
}
