//go:build !unix

package main

import "errors"

func openSyslog(int) (syslogWriter, error) { return nil, errors.New("this system has none") }
