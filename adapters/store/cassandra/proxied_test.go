package cassandra

import (
	"context"
	"net"
	"strings"
	"testing"

	"perdure/adapters/store/proxy"
	"perdure/core/store"
)

// onlyTo connects to one address whatever is asked for: the driver finds nodes by itself.
type onlyTo string

func (to onlyTo) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, string(to))
}

func TestConnectionsCutAndHeld(t *testing.T) {
	opts := fresh(ready(t))
	if len(opts.Hosts) > 1 {
		t.Skip("with several nodes there is always another way")
	}
	p := proxy.Start(t, opts.Hosts[0])
	through := opts
	through.Hosts, through.Connections, through.Timeout = strings.Split(p.Addr(), ","), 1, through.Timeout/5
	through.dialer = onlyTo(p.Addr())
	proxy.Cases(t, p, func() (store.Store, error) { return open(through) }, func() (store.Store, error) { return open(opts) })
}
