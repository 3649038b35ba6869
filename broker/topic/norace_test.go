//go:build !race

package topic_test

const raceFactor = 1
