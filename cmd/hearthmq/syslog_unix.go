//go:build unix

package main

import (
	"log/slog"
	"log/syslog"
)

type localSyslog struct{ *syslog.Writer }

// openSyslog opens this machine's log; facility is that of log_facility, local0 to local7,
// or the one of daemons.
func openSyslog(facility int) (syslogWriter, error) {
	to := syslog.LOG_DAEMON
	if facility > 0 {
		to = syslog.LOG_LOCAL0 + syslog.Priority(facility)<<3
	}
	w, err := syslog.New(to|syslog.LOG_INFO, "hearthmq")
	if err != nil {
		return nil, err
	}
	return localSyslog{w}, nil
}

func (w localSyslog) write(l slog.Level, line string) error {
	switch {
	case l < slog.LevelInfo:
		return w.Debug(line)
	case l < slog.LevelWarn:
		return w.Info(line)
	case l < slog.LevelError:
		return w.Warning(line)
	}
	return w.Err(line)
}
