package postgres

import (
	"strings"
	"testing"

	"perdure/adapters/store/proxy"
	"perdure/core/store"
)

func TestConnectionsCutAndHeld(t *testing.T) {
	x, url := subjectAt(t, Options{})
	defer x.Discard()
	p := proxy.Start(t, at(t, url).Hosts)
	through := strings.Replace(url, at(t, url).Hosts, p.Addr(), 1) + "?sslmode=disable&timeout=2s"
	proxy.Cases(t, p, func() (store.Store, error) { return Open(at(t, through), Options{}) }, x.Join)
}
