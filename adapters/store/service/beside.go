package service

// Beside runs a call in a goroutine of its own and looks meanwhile, and once more when
// it has ended: what conformance.Subject asks of stores whose calls may run side by side.
func Beside(call, look func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		call()
	}()
	for {
		look()
		select {
		case <-ended:
			look()
			return
		default:
		}
	}
}
