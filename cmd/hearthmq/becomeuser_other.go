//go:build !linux

package main

import "errors"

// becomeUser is Linux's alone.
func becomeUser(string) error {
	return errors.New("another account can't be taken on here; start HearthMQ with it")
}
