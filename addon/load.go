package addon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	koanfjson "github.com/knadh/koanf/parsers/json"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"hearthmq/broker/regular"
)

// Source says where settings come from.
type Source struct {
	File    string   // options.json; one that does not exist means defaults
	Environ []string // as os.Environ gives it
	Folder  string   // where relative file names of the settings start, outside the app
}

const (
	environPrefix = "HEARTHMQ_"
	maxFile       = 1 << 20 // bytes
)

// Load reads the settings: defaults, then the file, then the environment. A
// key that is not known is a warning. The error is a Problems with everything
// that is wrong, or an I/O error.
func Load(src Source) (o *Options, warnings []string, err error) {
	raw, origins, err := src.read()
	if err != nil {
		return nil, nil, err
	}
	o = Defaults(InApp(src.Environ))
	o.origins = origins
	o.folder = src.Folder
	warnings, problems := o.decode(raw)
	o.normalise()
	problems = append(problems, o.problems()...)
	warnings = append(warnings, o.closedListeners()...)
	return o, warnings, problems.err()
}

// read returns the settings of file and environment as they stand there, and
// which of the two each is from.
func (src Source) read() (raw map[string]any, origins map[string]string, err error) {
	text, err := readFile(src.File)
	if err != nil {
		return nil, nil, err
	}
	k := koanf.New(".")
	if len(text) > 0 {
		if err := k.Load(rawbytes.Provider(text), koanfjson.Parser()); err != nil {
			return nil, nil, Problems{{Text: src.File + ": " + explainJSON(text, err)}}
		}
	}
	origins = map[string]string{}
	for key := range k.Raw() {
		origins[key] = filepath.Base(src.File)
	}
	environ := koanf.New(".")
	if err := environ.Load(env.Provider(".", env.Opt{
		Prefix:        environPrefix,
		TransformFunc: fromEnviron,
		EnvironFunc:   func() []string { return src.Environ },
	}), nil); err != nil {
		return nil, nil, fmt.Errorf("read environment: %w", err)
	}
	for key := range environ.Raw() {
		origins[key] = environPrefix + strings.ToUpper(key)
	}
	if err := k.Merge(environ); err != nil {
		return nil, nil, fmt.Errorf("read environment: %w", err)
	}
	return k.Raw(), origins, nil
}

// readFile returns the file without the byte order mark that some editors
// write and without blanks around; nothing when it does not exist.
func readFile(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	f, err := regular.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open settings: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if len(b) > maxFile {
		return nil, Problems{{Text: fmt.Sprintf("%s: larger than %s, that can't be the settings", name, Size(maxFile))}}
	}
	return bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))), nil
}

// explainJSON says in one line what is wrong with the file, and where.
func explainJSON(text []byte, err error) string {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		before := text[:min(int(e.Offset), len(text))]
		line := 1 + bytes.Count(before, []byte("\n"))
		return fmt.Sprintf("not valid JSON, line %d: %s", line, e)
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return "not valid settings: the file must hold one JSON object, { … }"
	}
	return "not valid JSON: " + err.Error()
}

// fromEnviron makes a key and a value of an environment variable. Lists and
// objects are JSON; a variable that is set to nothing only means something
// where nothing is a value.
func fromEnviron(name, value string) (string, any) {
	key := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, environPrefix), "__", "."))
	if value == "" && !strings.HasSuffix(key, "_address") && !strings.HasSuffix(key, "file") && key != "unix_socket" {
		return "", nil
	}
	if strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{") {
		var v any
		if json.Unmarshal([]byte(value), &v) == nil {
			return key, v
		}
	}
	return key, value
}

// decode puts raw settings into o, each for itself, so that one that is wrong
// does not hide the others.
func (o *Options) decode(raw map[string]any) (warnings []string, problems Problems) {
	fields := o.fields()
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		field, ok := fields[key]
		if !ok {
			warnings = append(warnings, fmt.Sprintf("setting %s is not known and ignored", key))
			continue
		}
		if raw[key] == nil { // as good as not there
			continue
		}
		value := reflect.New(field.Type()) // what is half decoded never counts
		var meta mapstructure.Metadata
		d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
			Result: value.Interface(), TagName: "koanf", Metadata: &meta, WeaklyTypedInput: true,
			DecodeHook: mapstructure.ComposeDecodeHookFunc(listHook, valueHook, mapstructure.TextUnmarshallerHookFunc()),
		})
		if err == nil {
			err = d.Decode(raw[key])
		}
		if err != nil {
			problems.add(key, notDecoded(field.Type(), raw[key], err))
			continue
		}
		field.Set(value.Elem())
		for _, unused := range meta.Unused {
			warnings = append(warnings, fmt.Sprintf("setting %s%s is not known and ignored", key, unused))
		}
	}
	return warnings, problems
}

// fields returns the fields of o by key.
func (o *Options) fields() map[string]reflect.Value {
	v := reflect.ValueOf(o).Elem()
	all := make(map[string]reflect.Value)
	for field, value := range v.Fields() {
		if key := field.Tag.Get("koanf"); key != "" {
			all[key] = value
		}
	}
	return all
}

// Keys returns the names of all settings, sorted.
func Keys() []string { return slices.Sorted(maps.Keys(new(Options).fields())) }

// listHook makes a list of a text with commas, and of an object whose keys are
// 0, 1, 2 …: that is how the environment writes HEARTHMQ_LOGINS__0__USERNAME.
func listHook(from, to reflect.Type, data any) (any, error) {
	if to.Kind() != reflect.Slice {
		return data, nil
	}
	if text, ok := data.(string); ok {
		return strings.Split(text, ","), nil
	}
	m, ok := data.(map[string]any)
	if !ok {
		return data, nil
	}
	list := make([]any, len(m))
	for key, v := range m {
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(list) {
			return nil, errors.New("not a list")
		}
		list[i] = v
	}
	return list, nil
}

// valueHook is stricter or more lenient than mapstructure where people need it.
func valueHook(from, to reflect.Type, data any) (any, error) {
	switch v := data.(type) {
	case float64:
		return fromNumber(v, to)
	case string:
		return fromText(strings.TrimSpace(v), v, to)
	case bool:
		if to.Kind() != reflect.Bool && to.Kind() != reflect.Interface {
			return nil, errors.New("not a yes or no")
		}
	}
	return data, nil
}

func fromNumber(v float64, to reflect.Type) (any, error) {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	switch {
	case to == reflect.TypeFor[Size](), to == reflect.TypeFor[Duration](), to.Kind() == reflect.String:
		return text, nil
	case to.Kind() == reflect.Int:
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return nil, errors.New("not a whole number")
		}
		return int(v), nil
	case to.Kind() == reflect.Float64:
		return v, nil
	}
	return nil, errors.New("not a number")
}

func fromText(trimmed, whole string, to reflect.Type) (any, error) {
	switch {
	case to == reflect.TypeFor[netip.Prefix]():
		if ip, err := netip.ParseAddr(trimmed); err == nil {
			ip = ip.Unmap()
			return netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		n, err := netip.ParsePrefix(trimmed)
		if err == nil && n.Addr().Is4In6() && n.Bits() >= 96 { // addresses are compared as IPv4
			n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
		}
		return n, err
	case to.Kind() == reflect.Bool:
		switch strings.ToLower(trimmed) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
		return nil, errors.New("not a yes or no")
	case to.Kind() == reflect.Int:
		return strconv.Atoi(trimmed)
	case to.Kind() == reflect.Float64:
		return strconv.ParseFloat(trimmed, 64)
	}
	return whole, nil
}

// kindOf says what a setting takes, for people.
func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Size]():
		return `a size such as 67108864 or "64MB"`
	case t == reflect.TypeFor[Duration]():
		return `a duration such as 30 (seconds), "30s" or "7d"`
	case t == reflect.TypeFor[[]netip.Prefix]():
		return `a list of networks such as ["192.168.1.0/24"]`
	case t == reflect.TypeFor[[]Login]():
		return "a list of {username, password}"
	case t == reflect.TypeFor[[]CertificateUser]():
		return "a list of {certificate, username}"
	case t == reflect.TypeFor[[]ListenerLimit]():
		return "a list of {listener, max_connections, …}"
	case t == reflect.TypeFor[[]string]():
		return "a list of texts"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Float64:
		return "a number"
	}
	return "a text"
}

// notDecoded says what a setting must be. Of an entry with many figures it names the one
// that is wrong.
func notDecoded(t reflect.Type, v any, err error) string {
	if e, ok := errors.AsType[*mapstructure.DecodeError](err); ok && t == reflect.TypeFor[[]ListenerLimit]() {
		at, name, _ := strings.Cut(e.Name(), ".")
		for field := range t.Elem().Fields() {
			if field.Tag.Get("koanf") == name {
				return fmt.Sprintf("%s of entry %s must be %s", name, entry(at), kindOf(field.Type))
			}
		}
	}
	return "must be " + kindOf(t) + notThis(t, v)
}

// entry makes the place of mapstructure, "[0]", one that people count: "1".
func entry(at string) string {
	n, _ := strconv.Atoi(strings.Trim(at, "[]"))
	return strconv.Itoa(n + 1)
}

// notThis quotes a value that is wrong, unless it may hold a password.
func notThis(t reflect.Type, v any) string {
	if t == reflect.TypeFor[[]Login]() {
		return ""
	}
	switch v.(type) {
	case string, float64, bool:
		b, err := json.Marshal(v)
		if err == nil && len(b) <= 60 {
			return ", not " + string(b)
		}
	}
	return ""
}
