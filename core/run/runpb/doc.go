// Package runpb holds the stored form of a run's rows.
package runpb

//go:generate protoc -I. --go_out=. --go_opt=paths=source_relative run.proto
