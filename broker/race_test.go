//go:build race

package broker_test

const instrumented = 2 // times as much memory
