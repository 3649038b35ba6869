package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hearthmq/broker"
	mosq "hearthmq/broker/mosquitto"
)

// standInLog is a slog.Handler that logs where a mosquitto.conf says, and what. Until
// it is told it logs to the standard error. Safe for concurrent use.
type standInLog struct {
	*logState
	attrs string
	group string
}

// logState is what all handlers made of one share.
type logState struct {
	stdout, stderr io.Writer
	verbose        bool // everything, whatever the file says

	mu     sync.Mutex // guards what follows, and keeps lines whole
	conf   mosq.Log
	file   *os.File
	name   string
	syslog syslogWriter // nil: not used
	topics chan logLine // to be published; nil: nobody does
}

// logLine waits to be published.
type logLine struct {
	letter string
	text   string
}

// syslogWriter writes one line at a level.
type syslogWriter interface {
	write(l slog.Level, line string) error
	io.Closer
}

// waitingLines bounds lines that wait to be published; further ones are not.
const waitingLines = 1000

func newStandInLog(stdout, stderr io.Writer, verbose bool) *standInLog {
	return &standInLog{logState: &logState{stdout: stdout, stderr: stderr, verbose: verbose, conf: mosq.Log{Timestamp: true, ConnectionMessages: true}}}
}

// check reports what is wrong with a Log without using it.
func (s *logState) check(conf mosq.Log) error {
	s.mu.Lock()
	same := conf.File == s.name
	s.mu.Unlock()
	if conf.File == "" || same {
		return nil
	}
	f, err := os.OpenFile(conf.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("log_dest: %w", err)
	}
	return f.Close()
}

// use logs as conf says from now on.
func (s *logState) use(conf mosq.Log) (err error) {
	var file *os.File
	if conf.File != "" {
		if file, err = os.OpenFile(conf.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640); err != nil {
			return fmt.Errorf("log_dest: %w", err)
		}
	}
	var sys syslogWriter
	if slices.Contains(conf.Destinations, "syslog") {
		if sys, err = openSyslog(conf.Facility); err != nil {
			if file != nil {
				err = errors.Join(err, file.Close())
			}
			return fmt.Errorf("log_dest syslog: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
	s.conf, s.file, s.name, s.syslog = conf, file, conf.File, sys
	return nil
}

// reopen opens the log file anew, which may have been moved away.
func (s *logState) reopen() error {
	s.mu.Lock()
	conf := s.conf
	s.mu.Unlock()
	if conf.File == "" {
		return nil
	}
	return s.use(conf)
}

func (s *logState) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
}

// closeLocked closes what use opened. s.mu is held.
func (s *logState) closeLocked() {
	if s.file != nil {
		_ = s.file.Close() // each line was written as it came
		s.file = nil
	}
	if s.syslog != nil {
		_ = s.syslog.Close()
		s.syslog = nil
	}
}

// publishTo publishes lines under $SYS/broker/log where the file wants that, until ctx ends.
func (s *logState) publishTo(ctx context.Context, group *errgroup.Group, b *broker.Broker) {
	lines := make(chan logLine, waitingLines)
	s.mu.Lock()
	s.topics = lines
	s.mu.Unlock()
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case l := <-lines:
				// Nothing waits for the store, and the topic is valid.
				_ = b.Publish(ctx, broker.NewMessage("$SYS/broker/log/"+l.letter, []byte(l.text), 2, false))
			}
		}
	})
}

// types are Mosquitto's words for a level.
func types(l slog.Level) []string {
	switch {
	case l < slog.LevelInfo:
		return []string{"debug"}
	case l < slog.LevelWarn:
		return []string{"information", "notice"}
	case l < slog.LevelError:
		return []string{"warning"}
	}
	return []string{"error"}
}

func letter(l slog.Level) string {
	return map[string]string{"debug": "D", "information": "I", "warning": "W", "error": "E"}[types(l)[0]]
}

// Enabled implements slog.Handler.
func (h *standInLog) Enabled(_ context.Context, l slog.Level) bool {
	if h.verbose {
		return l >= slog.LevelDebug
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := h.conf.Types
	if len(wanted) == 0 {
		return l >= slog.LevelInfo
	}
	return slices.Contains(wanted, "all") && l >= slog.LevelDebug ||
		slices.ContainsFunc(types(l), func(t string) bool { return slices.Contains(wanted, t) })
}

// connectionMessages are what connection_messages false leaves out.
var connectionMessages = []string{"connection opened", "client connected", "client disconnected", "client refused"}

// Handle implements slog.Handler.
func (h *standInLog) Handle(_ context.Context, r slog.Record) error {
	b, said, theirs := []byte(r.Message), []string(nil), ""
	if say := mosquittoSays[r.Message]; say != nil {
		var line string
		if line, said = say(attrsOf(&r)); said == nil {
			theirs = line // on a line of its own
		} else {
			b = []byte(line)
		}
	}
	plain := len(b)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		if slices.Contains(said, a.Key) {
			return true
		}
		b = appendAttr(b, h.group, a)
		return true
	})
	if len(b) > plain {
		b = slices.Insert(b, plain, ' ')
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.conf.ConnectionMessages && slices.Contains(connectionMessages, r.Message) {
		return nil
	}
	err := h.write(r.Time, r.Level, string(b))
	if theirs != "" {
		err = errors.Join(err, h.write(r.Time, r.Level, theirs))
	}
	return err
}

// write sends a line everywhere. s.mu is held.
func (s *logState) write(at time.Time, level slog.Level, text string) error {
	text = visibly(text) // what words of Mosquitto's are made of may be a client's
	line := text
	if s.conf.Timestamp {
		line = stamp(at, s.conf.TimestampFormat) + ": " + text
	}
	to := s.conf.Destinations
	if len(to) == 0 || s.verbose && !slices.Contains(to, "stderr") {
		to = append(slices.Clip(to), "stderr")
	}
	var err error
	for _, dest := range to {
		switch {
		case dest == "stdout":
			_, e := io.WriteString(s.stdout, line+"\n")
			err = errors.Join(err, e)
		case dest == "stderr":
			_, e := io.WriteString(s.stderr, line+"\n")
			err = errors.Join(err, e)
		case dest == "file" && s.file != nil:
			_, e := s.file.WriteString(line + "\n")
			err = errors.Join(err, e)
		case dest == "syslog" && s.syslog != nil:
			err = errors.Join(err, s.syslog.write(level, text))
		case dest == "topic" && s.topics != nil && level >= slog.LevelInfo:
			select {
			case s.topics <- logLine{letter(level), line}:
			default: // a broker that logs faster than it publishes must not wait for itself
			}
		}
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h *standInLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	b := []byte(h.attrs)
	for _, a := range attrs {
		b = appendAttr(b, h.group, a)
	}
	c := *h
	c.attrs = string(b)
	return &c
}

// WithGroup implements slog.Handler.
func (h *standInLog) WithGroup(name string) slog.Handler {
	c := *h
	c.group += name + "."
	return &c
}

// stamp writes a time as log_timestamp_format has it, which is strftime's; without one,
// in seconds.
func stamp(t time.Time, format string) string {
	if format == "" {
		return fmt.Sprint(t.Unix())
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		if layout, ok := strftime[format[i]]; ok {
			b.WriteString(t.Format(layout))
			continue
		}
		switch format[i] {
		case 's':
			fmt.Fprint(&b, t.Unix())
		case 'j':
			fmt.Fprintf(&b, "%03d", t.YearDay())
		case '%':
			b.WriteByte('%')
		default:
			b.WriteString(format[i-1 : i+1])
		}
	}
	return b.String()
}

// strftime has the layouts of package time for the letters of strftime.
var strftime = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan", 'F': time.DateOnly, 'T': time.TimeOnly, 'R': "15:04",
	'D': "01/02/06", 'z': "-0700", 'Z': "MST", 'c': time.ANSIC,
}
