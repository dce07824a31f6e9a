package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

type compareCommand struct {
	Server       string        `help:"The server's program." default:"bin/perdure"`
	Store        string        `help:"Database of the server, as for its --store. Default: SQLite in a folder of its own."`
	DatabasePids []int         `help:"Processes of the database, for their CPU time and memory."`
	Loads        []string      `help:"Loads to run, each shape:n:open:workflows." default:"chain:0:100:6000,chain:1:100:6000,chain:10:100:600,chain:1:1:500,signal:10:100:1000,fanout:10:100:600,timer:3:100:1000,start:0:100:6000,drain:1:100:3000,idle:0:100:6000"`
	Scale        float64       `help:"Multiply the number of workflows." default:"1"`
	Again        bool          `help:"Run the limit server a second time after the server, and take the mean: on a busy machine."`
	Limit        time.Duration `help:"Give a load up after." default:"10m"`
	JSON         bool          `name:"json" help:"Print the results as JSON, one a line."`
}

// Run prints what the limit server and the server came to, load by load, in turns.
func (c *compareCommand) Run(ctx context.Context) error {
	loads, err := c.parse()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "perdure-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	floor, err := c.startFloor(ctx)
	if err != nil {
		return err
	}
	defer floor.stop()
	server, err := c.startServer(ctx, folder)
	if err != nil {
		return err
	}
	defer server.stop()
	var results []result
	for _, l := range loads {
		fmt.Fprintf(os.Stderr, "%s n=%d, %d open, %d workflows\n", l.Shape, l.N, l.Open, l.Workflows)
		both, err := c.both(ctx, l, floor, server)
		if err != nil {
			return err
		}
		results = append(results, both...)
	}
	return c.print(results)
}

func (c *compareCommand) print(results []result) error {
	if !c.JSON {
		printTable(os.Stdout, results)
	}
	missing := 0
	for _, r := range results {
		missing += r.Workflows - r.Done
		if c.JSON {
			if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
				return err
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d workflows did not end as they should", missing)
	}
	return nil
}

// parse reads the loads; the rest of each is the default of the command run.
func (c *compareCommand) parse() ([]*load, error) {
	var loads []*load
	for _, text := range c.Loads {
		l := &load{Namespace: "bench", Warm: 200, Pollers: 10, Slots: 200, Payload: 100, Conns: 2, Limit: c.Limit}
		if _, err := fmt.Sscanf(strings.ReplaceAll(text, ":", " "), "%s %d %d %d", &l.Shape, &l.N, &l.Open, &l.Workflows); err != nil {
			return nil, fmt.Errorf("--loads: %q is not shape:n:open:workflows", text)
		}
		l.Workflows = max(int(float64(l.Workflows)*c.Scale), 1)
		if err := l.validate(); err != nil {
			return nil, fmt.Errorf("--loads: %q: %w", text, err)
		}
		loads = append(loads, l)
	}
	return loads, nil
}

// both runs one load on the limit server and on the server.
func (c *compareCommand) both(ctx context.Context, l *load, floor, server *child) ([]result, error) {
	runs := []*child{floor, server}
	if c.Again {
		runs = append(runs, floor)
	}
	var results []result
	for _, on := range runs {
		one := &load{Addr: on.addr, Namespace: l.Namespace, Shape: l.Shape, N: l.N, Workflows: l.Workflows, Warm: l.Warm, Open: l.Open, Pollers: l.Pollers,
			Slots: l.Slots, Payload: l.Payload, Conns: l.Conns, Pids: on.pids, Limit: l.Limit, shape: l.shape}
		if l.Open == 1 {
			one.Warm = 20
		}
		r, err := one.run(ctx, os.Stderr)
		if err != nil {
			return nil, fmt.Errorf("%s on %s: %w\n%s", l.Shape, on.name, err, on.log.String())
		}
		r.Label = on.name
		results = append(results, r)
	}
	limit := results[0].Rate
	if c.Again {
		limit = (limit + results[2].Rate) / 2
	}
	results[1].Ratio = results[1].Rate / limit
	return results, nil
}

// child is a server that this program runs.
type child struct {
	name    string
	addr    string
	pids    []int
	process *exec.Cmd
	ended   chan error
	log     bytes.Buffer
}

func (c *compareCommand) startFloor(ctx context.Context) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	x := &child{name: "floor", addr: addr}
	if err := x.start(exec.CommandContext(ctx, self, "floor", "--addr", addr), io.Discard); err != nil {
		return nil, err
	}
	return x, nil
}

func (c *compareCommand) startServer(ctx context.Context, folder string) (*child, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--data", folder, "--grpc-addr", addr, "--log-level", "warn"}
	if c.Store != "" {
		args = append(args, "--store", c.Store)
	}
	x := &child{name: "perdure", addr: addr}
	out, in := io.Pipe()
	if err := x.start(exec.CommandContext(ctx, c.Server, args...), in); err != nil {
		return nil, err
	}
	go func() { // the first line says that it serves
		in.CloseWithError(<-x.ended)
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("%s did not start: %w\n%s", c.Server, err, x.log.String())
	}
	go io.Copy(io.Discard, out)
	x.pids = append(x.pids, c.DatabasePids...)
	return x, nil
}

func (x *child) start(process *exec.Cmd, out io.Writer) error {
	process.Stdout, process.Stderr = out, &x.log
	process.Cancel = func() error { return process.Process.Signal(syscall.SIGTERM) }
	if err := process.Start(); err != nil {
		return fmt.Errorf("%s does not start: %w", process.Path, err)
	}
	x.process, x.pids, x.ended = process, []int{process.Process.Pid}, make(chan error, 1)
	go func() {
		err := process.Wait()
		x.ended <- errors.Join(err, io.EOF)
		close(x.ended)
	}()
	return nil
}

func (x *child) stop() {
	x.process.Process.Signal(syscall.SIGTERM)
	for range x.ended { // closed when it has ended
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
