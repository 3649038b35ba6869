package mosquitto

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ReadConf reads the mosquitto.conf named file with what it includes. What Mosquitto
// would refuse is Broken; a directive that HearthMQ does not know how to follow and
// that protects something is Unsafe. The Conf is never nil.
func ReadConf(files Files, file string) (*Conf, []Notice) {
	r := &confReader{files: files, table: directives(), conf: defaultConf(file), said: map[string]bool{}, bridges: map[string]bool{}}
	r.readFile(file, 0)
	r.finish()
	return r.conf, r.found
}

// confReader reads a mosquitto.conf.
type confReader struct {
	files    Files
	table    map[string]directive
	conf     *Conf
	found    []Notice
	said     map[string]bool // harmless directives that were told of
	bridges  map[string]bool // names
	included int
	security bool // a security setting was read

	// Of the file that is read: Mosquitto starts each with none of them.
	listener, bridge, plugin int // indexes, -1: none
	level                    int
	file                     string
	line                     int
	standard                 int // the listener that `port` and others speak of, -1: none yet
}

// maxIncluded bounds the files of include_dir, maxListeners what a file may define.
const (
	maxIncluded  = 1000
	maxListeners = 1000
)

func (r *confReader) readFile(file string, level int) {
	outer := *r
	r.file, r.level, r.line = file, level, 0
	r.listener, r.bridge, r.plugin = -1, -1, -1
	if level == 0 {
		r.standard = -1
	}
	f, err := r.files.Open(file)
	if err != nil {
		r.tell(Broken, "", "can't be read: %v", reason(err))
	} else {
		r.readLines(f)
		if err := f.Close(); err != nil {
			r.tell(Broken, "", "can't be read: %v", reason(err))
		}
	}
	r.file, r.level, r.line = outer.file, outer.level, outer.line
	r.listener, r.bridge, r.plugin = outer.listener, outer.bridge, outer.plugin
}

// reason is an error of a file without its name, which stands in front already.
func reason(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

func (r *confReader) readLines(f io.Reader) {
	n := &notices{file: r.file}
	newLineReader(f).each(n, Broken, func(line int, text string) {
		r.line = line
		if text == "" || text[0] == '#' {
			return
		}
		keyword, rest := word(text)
		if keyword != "" {
			r.directive(keyword, rest)
		}
	})
	r.found = append(r.found, n.all()...)
}

func (r *confReader) tell(level Level, directive, format string, args ...any) {
	if len(r.found) >= maxNotices && level != Broken {
		return
	}
	r.found = append(r.found, Notice{File: r.file, Line: r.line, Level: level, Directive: directive, Text: fmt.Sprintf(format, args...)})
}

func (r *confReader) directive(keyword, rest string) {
	d, ok := r.table[keyword]
	for _, prefix := range []string{"plugin_opt_", "auth_opt_"} {
		if key, is := strings.CutPrefix(keyword, prefix); is {
			d, ok = directive{scope: ofPlugin, set: func(r *confReader, rest string) error { return r.pluginOption(key, rest) }}, true
		}
	}
	if !ok {
		r.tell(Broken, "", "%s is not a directive of Mosquitto%s", unknown(keyword), tabHint(keyword))
		return
	}
	err := r.enter(d.scope)
	if err == nil {
		err = d.set(r, rest)
	}
	if err != nil {
		name, _, _ := strings.Cut(keyword, "\t") // what an option's name ends with may be its value
		r.tell(Broken, name, "%v", err)
		return
	}
	r.conf.lines = append(r.conf.lines, r.shown(keyword, rest))
	if d.note != "" && !r.said[keyword] {
		r.said[keyword] = true
		r.tell(d.level, keyword, "%s", d.note)
	}
}

// scope says what a directive speaks of.
type scope byte

const (
	global             scope = iota
	ofListener               // a listener has to come first
	ofListenerOrDirect       // without one the standard listener is meant
	ofSecurity               // of the listener with per_listener_settings, else of all
	ofBridge
	ofPlugin
)

var (
	errNoListener = errors.New("a listener has to come before")
	errNoBridge   = errors.New("a connection has to come before")
	errNoPlugin   = errors.New("a plugin has to come before")
)

// enter checks that the directive stands where it may, and makes the standard listener.
func (r *confReader) enter(s scope) error {
	switch {
	case s == ofListener && r.listener < 0:
		return errNoListener
	case s == ofSecurity:
		if r.conf.PerListener && r.listener < 0 {
			return errNoListener
		}
		r.security = true
	case s == ofListenerOrDirect && r.listener < 0:
		return r.useStandard()
	case s == ofBridge && r.bridge < 0:
		return errNoBridge
	case s == ofPlugin && r.plugin < 0:
		return errNoPlugin
	}
	return nil
}

// useStandard makes the listener that is there without a line "listener" the current one.
func (r *confReader) useStandard() error {
	if r.standard < 0 {
		l := defaultListener(r.file, r.line)
		l.Port, l.isStart = 1883, true
		if err := r.addListener(l); err != nil {
			return err
		}
		r.standard = len(r.conf.Listeners) - 1
	}
	r.listener = r.standard
	return nil
}

func (r *confReader) addListener(l Listener) error {
	if len(r.conf.Listeners) == maxListeners {
		return fmt.Errorf("there are more than %d listeners", maxListeners)
	}
	r.conf.Listeners = append(r.conf.Listeners, l)
	r.listener = len(r.conf.Listeners) - 1
	return nil
}

func (r *confReader) l() *Listener { return &r.conf.Listeners[r.listener] }
func (r *confReader) b() *Bridge   { return &r.conf.Bridges[r.bridge] }

// sec is the security that a directive speaks of.
func (r *confReader) sec() *Security {
	if r.conf.PerListener {
		return &r.l().Security
	}
	return &r.conf.Security
}

// finish makes what Mosquitto makes after the last line, and checks the whole.
func (r *confReader) finish() {
	c := r.conf
	if len(c.Listeners) == 0 {
		c.Listeners = append(c.Listeners, localListener(c.File))
	} else if c.localOnly {
		c.Listeners[0].Host = "localhost" // made by a directive that names no port
	}
	r.fold()
	for i := range c.Listeners {
		l := &c.Listeners[i]
		r.file, r.line = l.File, l.Line
		switch {
		case (l.TLS.CertFile == "") != (l.TLS.KeyFile == ""):
			r.tell(Broken, "listener", "certfile and keyfile belong together")
		case l.TLS.CertFile == "" && (l.TLS.CAFile != "" || l.TLS.CAPath != ""):
			r.tell(Broken, "listener", "cafile and capath need certfile and keyfile")
		case l.TLS.PSKHint != "" && l.TLS.CertFile != "":
			r.tell(Broken, "listener", "certificates and pre-shared keys don't go together")
		case l.Proxy == 2 && (l.TLS.On() || l.TLS.SubjectAsUsername):
			r.tell(Broken, "listener", "enable_proxy_protocol 2 does not go with certificates of its own")
		}
	}
	ids := map[string]bool{}
	for i := range c.Bridges {
		b := &c.Bridges[i]
		r.file, r.line = b.File, b.Line
		switch {
		case len(b.Addresses) == 0:
			r.tell(Broken, "connection", "bridge %s has no address", quote(b.Name))
		case len(b.Topics) == 0:
			r.tell(Broken, "connection", "bridge %s has no topic", quote(b.Name))
		case b.hasPSK != (b.Identity != ""):
			r.tell(Broken, "connection", "bridge %s: bridge_psk and bridge_identity belong together", quote(b.Name))
		case b.LocalClientID != "" && ids[b.LocalClientID]:
			r.tell(Broken, "connection", "bridge %s: another bridge has the same local_clientid", quote(b.Name))
		}
		ids[b.LocalClientID] = true
	}
	r.checkPlugins()
	sortNotices(r.found)
}

// fold puts the listener that a directive before the first "listener" made together with
// one that the file defines on the same port. Mosquitto opens the port twice, which ends
// it; what is meant is clear.
func (r *confReader) fold() {
	c := r.conf
	i := slices.IndexFunc(c.Listeners, func(l Listener) bool { return l.isStart })
	if i < 0 {
		return
	}
	start := c.Listeners[i]
	j := slices.IndexFunc(c.Listeners, func(l Listener) bool { return !l.isStart && l.Port == start.Port && l.Host == start.Host })
	if j < 0 {
		return
	}
	l := &c.Listeners[j]
	if l.MaxConnections < 0 {
		l.MaxConnections = start.MaxConnections
	}
	r.file, r.line = start.File, start.Line
	r.tell(Changed, "", "this stands before the first listener and is about port %d; it is taken together with the listener in line %d", start.Port, l.Line)
	c.Listeners = slices.Delete(c.Listeners, i, i+1)
}

// checkPlugins tells which plugins HearthMQ stands in for.
func (r *confReader) checkPlugins() {
	for _, p := range r.conf.Plugins {
		r.file, r.line = p.File, p.Line
		kind := p.Kind()
		switch {
		case kind == PluginGoAuth:
			for _, backend := range strings.Split(p.Options["backends"], ",") {
				if backend = strings.TrimSpace(backend); backend != "" && backend != "files" && backend != "http" {
					r.tell(Unsafe, "plugin", "go-auth with the backend %s: HearthMQ can't ask it", quote(backend))
				} else if backend == "http" {
					r.tell(Left, "plugin", "go-auth asks %s: in the Home Assistant app HearthMQ asks Home Assistant itself", quote(p.Options["http_host"]))
				}
			}
		case kind == PluginUnknown:
			r.tell(Unsafe, "plugin", "HearthMQ has nothing in place of %s", quote(p.Path))
		}
	}
}

// Values of directives.

func boolean(s string) (bool, error) {
	first, _ := word(s)
	switch first {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	case "":
		return false, errEmpty
	}
	return false, fmt.Errorf("%s is not true or false%s", quote(first), tabHint(first))
}

var errEmpty = errors.New("the value is missing")

// integer reads a number as C's strtol does: decimal, 0x… or 0….
func integer(s string, least, most int) (int, error) {
	first, _ := word(s)
	if first == "" {
		return 0, errEmpty
	}
	v, err := strconv.ParseInt(strings.TrimPrefix(first, "+"), 0, 64)
	if err != nil || strings.Contains(first, "_") {
		return 0, fmt.Errorf("%s is not a number%s", quote(first), tabHint(first))
	}
	if v < int64(least) || v > int64(most) {
		return 0, fmt.Errorf("%d is not from %d to %d", v, least, most)
	}
	return int(v), nil
}

// text is the rest of the line.
func text(s string) (string, error) {
	s = strings.Trim(s, " \t")
	switch {
	case s == "":
		return "", errEmpty
	case len(s) > 65535 || !utf8.ValidString(s):
		return "", errors.New("the value is not UTF-8 of at most 65535 bytes")
	}
	return s, nil
}

// oneOf is a word of a list.
func oneOf(s string, words ...string) (string, error) {
	first, _ := word(s)
	for _, w := range words {
		if first == w {
			return w, nil
		}
	}
	if first == "" {
		return "", errEmpty
	}
	return "", fmt.Errorf("%s is not one of %s", quote(first), strings.Join(words, ", "))
}

// Directives lists all keywords that are known, in no order.
func Directives() []string {
	var list []string
	for k := range maps.Keys(directives()) {
		list = append(list, k)
	}
	return list
}
