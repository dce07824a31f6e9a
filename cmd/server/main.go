// Command perdure is a durable execution server that speaks the Temporal API.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"perdure/adapters/config"
)

type cli struct {
	Config  kong.ConfigFlag `placeholder:"FILE" env:"PERDURE_CONFIG" help:"YAML file with settings, one a line, named as the flags are."`
	Serve   serveCommand    `cmd:"" help:"Run a server."`
	Schema  schemaCommand   `cmd:"" help:"Look after the tables of a database."`
	Version versionCommand  `cmd:"" help:"Print the version."`
}

const about = "Perdure keeps workflows running: a durable execution server that speaks the Temporal API."

func main() {
	if len(os.Args) == 1 {
		os.Args = append(os.Args, "--help")
	}
	c := kong.Parse(&cli{}, kong.Name("perdure"), kong.Description(about), kong.Configuration(config.File), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err := c.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "perdure: %v\n", err)
		os.Exit(1)
	}
}

type serveCommand struct {
	config.Settings `embed:""`
}

// Run serves until a signal, then drains.
func (c *serveCommand) Run() error {
	ctx, cancel := untilSignal()
	defer cancel()
	return serve(ctx, &c.Settings, wire, os.Stdout)
}

// untilSignal ends with the first SIGINT or SIGTERM; a second one ends the process at once.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "perdure: second signal, ending at once")
		os.Exit(1)
	}()
	return ctx, cancel
}

type versionCommand struct{}

// Run prints what this binary was built from.
func (versionCommand) Run() error {
	revision, modified := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = " with changes"
			}
		}
	}
	fmt.Printf("perdure, commit %s%s, %s %s/%s\n", revision, modified, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
