package cassandra

import (
	"errors"
	"sync"
)

// sideBySide bounds the requests that one call has under way.
const sideBySide = 8

// each does n things side by side and returns their errors. After an error it begins no more of them.
func each(n int, do func(i int) error) error {
	if n == 1 {
		return do(0)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	next := 0
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if next == n || len(errs) > 0 {
			return -1
		}
		next++
		return next - 1
	}
	for range min(n, sideBySide) {
		wg.Go(func() {
			for i := take(); i >= 0; i = take() {
				if err := do(i); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
