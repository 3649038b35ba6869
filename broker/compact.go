package broker

// compact leaves out changes that later ones of the batch make needless: retained
// messages of a topic but the last, deliveries that are done again.
func compact(batch []Change) []Change {
	type delivery struct {
		client string
		seq    int64
	}
	queued := make(map[delivery]bool)
	for _, c := range batch {
		if q, ok := c.(Queued); ok {
			queued[delivery{q.ClientID, q.Delivery.Seq}] = false
		}
	}
	retained := make(map[string]bool)
	keep := len(batch)
	for i := len(batch) - 1; i >= 0; i-- {
		needless := false
		switch c := batch[i].(type) {
		case RetainedSet:
			needless = retained[c.Message.Topic]
			retained[c.Message.Topic] = true
		case RetainedCleared:
			needless = retained[c.Topic]
			retained[c.Topic] = true
		case Done:
			if _, here := queued[delivery{c.ClientID, c.Seq}]; here {
				queued[delivery{c.ClientID, c.Seq}] = true
				needless = true
			}
		case Sent:
			needless = queued[delivery{c.ClientID, c.Seq}]
		case Queued:
			needless = queued[delivery{c.ClientID, c.Delivery.Seq}]
		}
		if !needless {
			keep--
			batch[keep] = batch[i]
		}
	}
	return append([]Change(nil), batch[keep:]...)
}

const (
	// sizeMost is how large pending may get before it is looked what of it is of use, and
	// changeSize what a change counts beside its message.
	sizeMost   = 8 << 20
	changeSize = 256
)

// weigh counts a change. j.mu is held.
func (j *journal) weigh(c Change) {
	j.size += changeSize
	if m := messageOf(c); m != nil && m != j.sized {
		j.size += m.Size()
		j.sized = m
	}
}

// compactPending leaves out what is of no use any more: the values that a topic had before
// its last one, and what a full queue has dropped again. What is left is retained, or waits
// in a queue, where it is limited. It is done when pending has doubled since. j.mu is held.
func (j *journal) compactPending() {
	j.pending = compact(j.pending)
	j.size, j.sized = 0, nil
	for _, c := range j.pending {
		j.weigh(c)
	}
	j.sizeMost = max(sizeMost, 2*j.size)
}

// messageOf is the message that a change holds, nil: none.
func messageOf(c Change) *Message {
	switch c := c.(type) {
	case RetainedSet:
		return c.Message
	case Queued:
		return c.Delivery.Message
	case WillSaved:
		return c.Will.Message
	}
	return nil
}
