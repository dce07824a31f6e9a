// Command bench measures a server that speaks the Temporal gRPC API, with a
// client and worker of its own that do as little as can be done: what is
// measured is the server. It is also the limit to compare with: a server
// without storage, checks or semantics (floor).
//
//	bench run      one load on a server that runs
//	bench floor    be the limit server
//	bench compare  all loads, on the limit server and on Perdure with a database, side by side
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Run     runCommand     `cmd:"" help:"Put one load on a server."`
	Floor   floorCommand   `cmd:"" help:"Serve the calls of the loads with nothing behind them: no storage, no checks."`
	Compare compareCommand `cmd:"" help:"Run all loads against the limit server and against Perdure, and print the ratios."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c, kong.Name("bench"), kong.Description("Load for servers that speak the Temporal gRPC API."), kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)))
	k.FatalIfErrorf(k.Run())
}

type runCommand struct {
	load
	Label string `help:"Name of the result." default:"server"`
	JSON  bool   `name:"json" help:"Print the result as JSON."`
}

// Run prints one result.
func (c *runCommand) Run(ctx context.Context) error {
	if err := c.load.validate(); err != nil {
		return err
	}
	r, err := c.load.run(ctx, os.Stderr)
	if err != nil {
		return err
	}
	r.Label = c.Label
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	printTable(os.Stdout, []result{r})
	if r.Done < r.Workflows {
		return fmt.Errorf("%d of %d workflows did not end as they should", r.Workflows-r.Done, r.Workflows)
	}
	return nil
}
