// Package registrypb holds the registry's rows.
package registrypb

//go:generate protoc --go_out=. --go_opt=paths=source_relative registry.proto
