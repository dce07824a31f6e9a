package conformance

import "perdure/core/store"

// Reopened is a subject on a database server: a process that crashes, ends or
// comes along is one more connection. open connects; discard is called when all are closed.
func Reopened(open func() (store.Store, error), discard func()) (Subject, error) {
	now, err := open()
	if err != nil {
		discard()
		return Subject{}, err
	}
	all := []store.Store{now}
	join := func() (store.Store, error) {
		s, err := open()
		if err == nil {
			all = append(all, s)
		}
		return s, err
	}
	again := func() (store.Store, error) {
		if err := now.Close(); err != nil {
			return nil, err
		}
		s, err := join()
		if err == nil {
			now = s
		}
		return s, err
	}
	return Subject{Store: now, Crash: again, Restart: again, Join: join, Discard: func() {
		for _, s := range all {
			s.Close() // a second Close does nothing
		}
		discard()
	}}, nil
}

// Unreliable is x while something goes wrong in its round trips: between on and
// off, which is whenever the suite calls it and not while it is opened. answers
// tells what Stubborn needs; its Store, Made and Retired are filled in here.
func Unreliable(x Subject, on, off func(), answers Stubborn) Subject {
	answers.Made, answers.Retired = map[store.ShardID]bool{}, map[store.ShardID]bool{}
	started := func(s store.Store, err error) (store.Store, error) {
		on()
		stubborn := answers
		stubborn.Store = s
		return stubborn, err
	}
	reliably := func(open func() (store.Store, error)) func() (store.Store, error) {
		return func() (store.Store, error) {
			off()
			return started(open())
		}
	}
	y := Subject{Crash: reliably(x.Crash), Restart: reliably(x.Restart), Join: reliably(x.Join), Beside: x.Beside, Discard: func() { off(); x.Discard() }}
	y.Store, _ = started(x.Store, nil)
	return y
}
