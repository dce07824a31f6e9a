package port

// PageToken says where the next page of a run's history begins. Clients carry
// it between calls; it holds no secret and gives no rights: the shard looks the
// run up by the namespace and workflow of the request, whatever the token says.
type PageToken struct {
	RunID string
	// NextEventID is the first event of the next page; reading backwards, the last one.
	NextEventID int64
	// LastEventID is the last event when the token was made. Pages are read up to it; behind it begins the waiting.
	LastEventID int64
	// Running says that the run was open when the token was made.
	Running bool
	// Reverse says that the pages run backwards.
	Reverse bool
}
