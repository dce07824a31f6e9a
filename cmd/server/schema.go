package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"perdure/adapters/store/schema"
)

// schemaCommand looks after the tables of a database. SQLite needs none of it: a server brings its own files up to date.
type schemaCommand struct {
	Setup   setupCommand         `cmd:"" help:"Make the tables in an empty database. Repeating it changes nothing."`
	Update  updateCommand        `cmd:"" help:"Bring the tables of an older server up to date; stop all servers before. Repeating it changes nothing."`
	Version schemaVersionCommand `cmd:"" help:"Print which version the tables have, and which one this server works with."`
}

// storeFlags name the database.
type storeFlags struct {
	Store         string `required:"" placeholder:"URL" env:"PERDURE_STORE" help:"Database, as for serve."`
	StorePassword string `placeholder:"TEXT" env:"PERDURE_STORE_PASSWORD" help:"Its password, if the URL has none; better given by the variable of the environment."`
}

func (f *storeFlags) with(do func(schema.Schema) error) error {
	at, kind, err := findStore(f.Store, f.StorePassword)
	if err != nil {
		return err
	}
	s, err := kind.schema(at)
	if err == nil {
		err = errors.Join(do(s), s.Close())
	}
	if err != nil {
		return fmt.Errorf("--store %s: %w", at, err)
	}
	return nil
}

type setupCommand struct {
	storeFlags `embed:""`
	DryRun     bool `help:"Print the plan and change nothing."`
}

// Run makes the tables.
func (c *setupCommand) Run() error {
	return c.with(func(s schema.Schema) error { return carryOut(s, schema.ForSetup, c.DryRun, os.Stdout) })
}

type updateCommand struct {
	storeFlags `embed:""`
	DryRun     bool `help:"Print the plan and change nothing."`
}

// Run updates the tables.
func (c *updateCommand) Run() error {
	return c.with(func(s schema.Schema) error { return carryOut(s, schema.ForUpdate, c.DryRun, os.Stdout) })
}

// carryOut prints the plan and follows it.
func carryOut(s schema.Schema, plan func(schema.Schema) ([]string, error), dry bool, out io.Writer) error {
	steps, err := plan(s)
	if err != nil {
		return err
	}
	if len(steps) == 0 {
		fmt.Fprintln(out, "Nothing to do: the schema is up to date.")
		return nil
	}
	fmt.Fprintln(out, "Plan:")
	for _, step := range steps {
		fmt.Fprintln(out, "  "+step)
	}
	if dry {
		fmt.Fprintln(out, "Nothing was changed.")
		return nil
	}
	if err := s.Apply(); err != nil {
		return fmt.Errorf("the plan was not carried out to its end, repeat the command: %w", err)
	}
	fmt.Fprintln(out, "Done.")
	return nil
}

type schemaVersionCommand struct {
	storeFlags `embed:""`
}

// Run prints versions.
func (c *schemaVersionCommand) Run() error {
	return c.with(func(s schema.Schema) error {
		have, want, err := s.Versions()
		if err == nil {
			fmt.Printf("database: %d, server: %d\n", have, want)
		}
		return err
	})
}
