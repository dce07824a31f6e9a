package main

import (
	"context"
	"sync"
	"time"

	ws "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	pollTimeout = 65 * time.Second // as SDKs have it
	pollPause   = 50 * time.Millisecond
)

// worker polls and answers. As in an SDK a poller hands its task over and polls again, while slots are free.
type worker struct {
	*load
	end     context.CancelFunc
	pollers sync.WaitGroup
}

func (w *worker) start(ctx context.Context) {
	polling, end := context.WithCancel(ctx)
	w.end = end
	tasks, activities := make(chan struct{}, w.Slots), make(chan struct{}, w.Slots)
	for range w.Pollers {
		w.pollers.Go(func() { w.poll(polling, tasks, w.workflowTask) })
		if w.shape.activities && w.N > 0 {
			w.pollers.Go(func() { w.poll(polling, activities, w.activityTask) })
		}
	}
}

// stop ends the polls that wait; tasks that were handed out are still answered.
func (w *worker) stop() {
	if w.end != nil {
		w.end()
		w.pollers.Wait()
		w.end = nil
	}
}

// poll asks for tasks; one returns what is to be done with the task, nil if there was none.
func (w *worker) poll(ctx context.Context, slots chan struct{}, one func(context.Context) (func(), error)) {
	for ctx.Err() == nil {
		task, err := one(ctx)
		if err != nil && ctx.Err() == nil {
			w.errors.note("poll", err)
			time.Sleep(pollPause)
		}
		if task == nil {
			continue
		}
		slots <- struct{}{}
		go func() {
			task()
			<-slots
		}()
	}
}

func (w *worker) workflowTask(ctx context.Context) (func(), error) {
	polling, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	task, err := w.client().PollWorkflowTaskQueue(polling, &ws.PollWorkflowTaskQueueRequest{Namespace: w.Namespace, TaskQueue: w.queue(), Identity: "bench"})
	if err != nil || len(task.TaskToken) == 0 {
		return nil, waited(err)
	}
	return func() { w.answer(context.WithoutCancel(ctx), task) }, nil
}

func (w *worker) answer(ctx context.Context, task *ws.PollWorkflowTaskQueueResponse) {
	var s seen
	s.add(task.GetHistory().GetEvents())
	for page := task.NextPageToken; len(page) > 0; {
		more, err := w.client().GetWorkflowExecutionHistory(ctx, &ws.GetWorkflowExecutionHistoryRequest{Namespace: w.Namespace, Execution: task.WorkflowExecution, NextPageToken: page})
		if err != nil {
			w.errors.note("GetWorkflowExecutionHistory", err)
			return
		}
		s.add(more.GetHistory().GetEvents())
		page = more.NextPageToken
	}
	commands, done := w.commands(s)
	_, err := w.client().RespondWorkflowTaskCompleted(ctx, &ws.RespondWorkflowTaskCompletedRequest{Namespace: w.Namespace, TaskToken: task.TaskToken, Commands: commands, Identity: "bench"})
	switch {
	case err != nil:
		w.errors.note("RespondWorkflowTaskCompleted", err)
	case done || w.shape.open:
		w.ended.Add(1)
	}
}

func (w *worker) activityTask(ctx context.Context) (func(), error) {
	polling, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	task, err := w.client().PollActivityTaskQueue(polling, &ws.PollActivityTaskQueueRequest{Namespace: w.Namespace, TaskQueue: w.queue(), Identity: "bench"})
	if err != nil || len(task.TaskToken) == 0 {
		return nil, waited(err)
	}
	return func() {
		_, err := w.client().RespondActivityTaskCompleted(context.WithoutCancel(ctx), &ws.RespondActivityTaskCompletedRequest{Namespace: w.Namespace, TaskToken: task.TaskToken, Result: w.data, Identity: "bench"})
		if err != nil {
			w.errors.note("RespondActivityTaskCompleted", err)
		}
	}, nil
}

// waited forgives a poll that ended because nothing came.
func waited(err error) error {
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.Canceled:
		return nil
	}
	return err
}
