package port

import "time"

// Carried is an input as it arrives at another node: a copy of what may change
// there, its deadlines by that node's clock. ahead is how far the receiver's wall
// clock is ahead of the sender's; a transport that writes down what is left of each
// deadline needs to know neither.
func Carried(in Input, ahead time.Duration) Input {
	switch in := in.(type) {
	case *Request:
		out := *in
		out.Deadline = shifted(in.Deadline, ahead)
		return &out
	case *Poll:
		return in.carried(ahead)
	case Taken:
		in.Poll = in.Poll.carried(ahead)
		return in
	case Untaken:
		in.Poll = in.Poll.carried(ahead)
		return in
	case Subscribe:
		in.Until = shifted(in.Until, ahead)
		return in
	case *Message:
		out := *in
		out.Sent = shifted(in.Sent, ahead)
		return &out
	case *Outcome:
		out := *in
		return &out
	}
	return in
}

func (p *Poll) carried(ahead time.Duration) *Poll {
	out := *p
	out.Deadline = shifted(p.Deadline, ahead)
	return &out
}

func shifted(t time.Time, by time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(by)
}
