package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// file is a YAML file with one setting a key.
type file struct {
	name   string
	values map[string]any
}

// File reads settings for kong, which opens the file and hands it over.
func File(r io.Reader) (kong.Resolver, error) {
	f := file{name: "settings file", values: map[string]any{}}
	if named, ok := r.(interface{ Name() string }); ok {
		f.name = named.Name()
	}
	if err := yaml.NewDecoder(r).Decode(&f.values); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	return f, nil
}

// Validate refuses keys that are no settings.
func (f file) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, command := range app.Leaves(false) {
		for _, flag := range command.Flags {
			known[flag.Name] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		if !known[key] {
			return fmt.Errorf("%s: there is no setting %q; settings are %s", f.name, key, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return nil
}

// Resolve gives a flag its value of the file, unless the environment has one.
func (f file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return nil, nil
		}
	}
	switch v := f.values[flag.Name].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return nil, fmt.Errorf("%s: %s is not one value", f.name, flag.Name)
	case []any:
		var all []string
		for _, x := range v {
			all = append(all, fmt.Sprint(x))
		}
		return strings.Join(all, ","), nil
	default:
		return fmt.Sprint(v), nil
	}
}
