// Command quickstart runs a worker and its first workflow on a server, and prints the result.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const taskQueue = "quickstart"

func main() {
	address := flag.String("address", client.DefaultHostPort, "`HOST:PORT` of the server")
	namespace := flag.String("namespace", client.DefaultNamespace, "`NAME` of the namespace")
	flag.Parse()
	if err := run(*address, *namespace); err != nil {
		log.Fatal(err)
	}
}

// run starts a worker, then one workflow, and waits for its result.
func run(address, namespace string) error {
	c, err := client.Dial(client.Options{HostPort: address, Namespace: namespace})
	if err != nil {
		return fmt.Errorf("no server at %s, start one with \"make run\": %w", address, err)
	}
	defer c.Close()
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(Welcome)
	w.RegisterActivity(Greet)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	started, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{TaskQueue: taskQueue}, Welcome, "world")
	if err != nil {
		return err
	}
	var greeting string
	if err := started.Get(context.Background(), &greeting); err != nil {
		return err
	}
	fmt.Printf("Workflow %s ended with %q.\n", started.GetID(), greeting)
	return nil
}

// Welcome is a workflow: whatever happens to worker or server, it goes on where it was.
func Welcome(ctx workflow.Context, name string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var greeting string
	err := workflow.ExecuteActivity(ctx, Greet, name).Get(ctx, &greeting)
	return greeting, err
}

// Greet is an activity: it does what a workflow must not, and is tried again until it succeeds.
func Greet(_ context.Context, name string) (string, error) {
	return "Hello, " + name + "!", nil
}
