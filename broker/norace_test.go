//go:build !race

package broker_test

const instrumented = 1
