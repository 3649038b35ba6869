package broker

import "context"

// crowded reports whether so much waits to be stored that whoever adds to it
// should stop for a while.
func (j *journal) crowded() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.pending) > crowdAt
}

// ease waits until the journal is not crowded any more, or ctx ends.
func (j *journal) ease(ctx context.Context) {
	for j.crowded() {
		j.mu.Lock()
		wait := j.easing
		j.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return
		}
	}
}

// eased lets those go on who wait in ease.
func (j *journal) eased() {
	j.mu.Lock()
	close(j.easing)
	j.easing = make(chan struct{})
	j.mu.Unlock()
}
