package mysql

import (
	"strings"
	"testing"

	"perdure/adapters/store/proxy"
	"perdure/core/store"
)

func TestConnectionsCutAndHeld(t *testing.T) {
	for _, kind := range both {
		t.Run(kind, func(t *testing.T) {
			x, url := subjectAt(t, kind, Options{})
			defer x.Discard()
			p := proxy.Start(t, at(t, url).Hosts)
			through := strings.Replace(url, at(t, url).Hosts, p.Addr(), 1) + "&timeout=2s"
			proxy.Cases(t, p, func() (store.Store, error) { return Open(at(t, through), Options{}) }, x.Join)
		})
	}
}
