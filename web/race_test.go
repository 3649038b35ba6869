//go:build race

package web

const raceEnabled = true // tests of speed are left out
