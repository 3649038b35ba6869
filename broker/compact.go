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
