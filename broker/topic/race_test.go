//go:build race

package topic_test

// raceFactor widens time limits under the race detector.
const raceFactor = 20
