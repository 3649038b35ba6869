package payload

import (
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of a Sparkplug B payload.
const (
	sparkplugDepth   = 8 // templates within templates
	sparkplugMetrics = 20_000
)

var errSparkplug = errors.New("not a Sparkplug B payload")

// sparkplugTypes are the names of the data types, by their numbers.
var sparkplugTypes = [...]string{
	"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean",
	"String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList",
	"Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array",
	"FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray",
}

// sparkplug reads the Protocol Buffers message of Sparkplug B and writes it as
// JSON: metrics by their name (or alias), so that a chart finds one again.
func sparkplug(b []byte) ([]byte, error) {
	r := sparkplugReader{left: sparkplugMetrics}
	out := []byte{'{'}
	metrics := []byte{'{'}
	known := false
	err := fields(b, func(f field) error {
		switch f.num {
		case 1:
			out = member(out, "timestamp", strconv.AppendUint(nil, f.n, 10))
			known = true
		case 2:
			known = true
			return r.metric(&metrics, f.b, 0)
		case 3:
			out = member(out, "seq", strconv.AppendUint(nil, f.n, 10))
			known = true
		case 4:
			out = member(out, "uuid", quoted(f.b))
		case 5:
			out = member(out, "body", quotedHex(f.b))
		default:
			return errSparkplug
		}
		return nil
	})
	if err != nil || !known {
		return nil, errSparkplug
	}
	return append(member(out, "metrics", append(metrics, '}')), '}'), nil
}

type sparkplugReader struct{ left int }

// metric adds `"name":{"value":…,"type":…}` to an object.
func (r *sparkplugReader) metric(into *[]byte, b []byte, depth int) error {
	if r.left--; r.left < 0 || depth > sparkplugDepth {
		return errSparkplug
	}
	var name, value []byte
	var alias, kind uint64
	hasAlias := false
	var extra []byte
	var raw field
	err := fields(b, func(f field) error {
		switch f.num {
		case 1:
			name = f.b
		case 2:
			alias, hasAlias = f.n, true
		case 3:
			extra = member(extra, "timestamp", strconv.AppendUint(nil, f.n, 10))
		case 4:
			kind = f.n
		case 5:
			extra = member(extra, "historical", boolean(f.n))
		case 6:
			extra = member(extra, "transient", boolean(f.n))
		case 7:
			if f.n != 0 {
				value = []byte("null")
			}
		case 8:
			// Metadata describes files; it is left out.
		case 9:
			p, err := r.properties(f.b, depth+1)
			if err != nil {
				return err
			}
			extra = member(extra, "properties", p)
		case 10, 11, 12, 13, 14, 15, 16, 17, 18:
			raw = f
		case 19:
		default:
			return errSparkplug
		}
		return nil
	})
	if err != nil {
		return err
	}
	if raw.num != 0 {
		// The number says the type of the wire, kind what it means.
		if value, err = r.value(raw, raw.num-10, kind, depth); err != nil {
			return err
		}
	}
	if value == nil {
		value = []byte("null")
	}
	key := quoted(name)
	if len(name) == 0 && hasAlias {
		key = quoted([]byte("alias " + strconv.FormatUint(alias, 10)))
	}
	one := member([]byte{'{'}, "value", value)
	if kind != 0 && kind < uint64(len(sparkplugTypes)) {
		one = member(one, "type", quoted([]byte(sparkplugTypes[kind])))
	}
	if len(name) > 0 && hasAlias {
		one = member(one, "alias", strconv.AppendUint(nil, alias, 10))
	}
	if len(extra) > 0 {
		one = append(append(one, ','), extra...)
	}
	out := *into
	if len(out) > 1 {
		out = append(out, ',')
	}
	out = append(append(out, key...), ':')
	*into = append(append(out, one...), '}')
	return nil
}

// value writes one of the choices int, long, float, double, boolean, string,
// bytes, data set, template, numbered from 0.
func (r *sparkplugReader) value(f field, choice protowire.Number, kind uint64, depth int) ([]byte, error) {
	switch choice {
	case 0, 1:
		return integer(f.n, kind), nil
	case 2:
		return float(float64(math.Float32frombits(uint32(f.n))), 32), nil
	case 3:
		return float(math.Float64frombits(f.n), 64), nil
	case 4:
		return boolean(f.n), nil
	case 5:
		return quoted(f.b), nil
	case 6:
		return quotedHex(f.b), nil
	case 7:
		return r.dataSet(f.b)
	case 8:
		return r.template(f.b, depth+1)
	}
	return nil, errSparkplug
}

func (r *sparkplugReader) template(b []byte, depth int) ([]byte, error) {
	out, metrics := []byte{'{'}, []byte{'{'}
	err := fields(b, func(f field) error {
		switch f.num {
		case 1:
			out = member(out, "version", quoted(f.b))
		case 2:
			return r.metric(&metrics, f.b, depth)
		case 4:
			out = member(out, "template", quoted(f.b))
		case 5:
			out = member(out, "definition", boolean(f.n))
		}
		return nil // parameters and extensions are left out
	})
	return append(member(out, "metrics", append(metrics, '}')), '}'), err
}

func (r *sparkplugReader) properties(b []byte, depth int) ([]byte, error) {
	if depth > sparkplugDepth {
		return nil, errSparkplug
	}
	var keys [][]byte
	var values [][]byte
	err := fields(b, func(f field) error {
		switch f.num {
		case 1:
			keys = append(keys, f.b)
		case 2:
			v := []byte("null")
			var kind uint64
			err := fields(f.b, func(p field) (err error) {
				switch p.num {
				case 1:
					kind = p.n
				case 3, 4, 5, 6, 7, 8:
					v, err = r.value(p, p.num-3, kind, depth)
				case 9:
					v, err = r.properties(p.b, depth+1)
				}
				return err
			})
			if err != nil {
				return err
			}
			values = append(values, v)
		}
		if r.left--; r.left < 0 {
			return errSparkplug
		}
		return nil
	})
	if err != nil || len(keys) != len(values) {
		return nil, errSparkplug
	}
	out := []byte{'{'}
	for i, k := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, quoted(k)...), ':'), values[i]...)
	}
	return append(out, '}'), nil
}

// dataSet writes a table as a list of rows, the column names first.
func (r *sparkplugReader) dataSet(b []byte) ([]byte, error) {
	head, rows := []byte{'['}, []byte(nil)
	err := fields(b, func(f field) error {
		if r.left--; r.left < 0 {
			return errSparkplug
		}
		switch f.num {
		case 2:
			head = element(head, quoted(f.b))
		case 4:
			row := []byte{'['}
			err := fields(f.b, func(e field) error {
				v := []byte("null")
				err := fields(e.b, func(p field) (err error) {
					if p.num >= 1 && p.num <= 6 {
						v, err = r.value(p, p.num-1, 0, 0)
					}
					return err
				})
				row = element(row, v)
				return err
			})
			if err != nil {
				return err
			}
			rows = append(append(append(rows, ','), row...), ']')
		}
		return nil
	})
	return append(append(append([]byte{'['}, append(head, ']')...), rows...), ']'), err
}

// field is a field of a message: a number or bytes.
type field struct {
	num protowire.Number
	n   uint64
	b   []byte
}

// fields reads a message field by field. Groups are no part of Sparkplug.
func fields(b []byte, each func(field) error) error {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errSparkplug
		}
		b = b[n:]
		f := field{num: num}
		switch kind {
		case protowire.VarintType:
			f.n, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.n = uint64(v)
		case protowire.Fixed64Type:
			f.n, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.b, n = protowire.ConsumeBytes(b)
		default:
			return errSparkplug
		}
		if n < 0 {
			return errSparkplug
		}
		b = b[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}

// integer writes a number of the wire as the type that it stands for.
func integer(n, kind uint64) []byte {
	switch kind {
	case 1:
		return strconv.AppendInt(nil, int64(int8(n)), 10)
	case 2:
		return strconv.AppendInt(nil, int64(int16(n)), 10)
	case 3:
		return strconv.AppendInt(nil, int64(int32(n)), 10)
	case 4:
		return strconv.AppendInt(nil, int64(n), 10)
	}
	return strconv.AppendUint(nil, n, 10)
}

func float(v float64, bits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.AppendQuote(nil, strconv.FormatFloat(v, 'g', -1, bits))
	}
	return strconv.AppendFloat(nil, v, 'g', -1, bits)
}

func boolean(n uint64) []byte { return strconv.AppendBool(nil, n != 0) }

func quotedHex(b []byte) []byte { return append(append([]byte(`"0x`), hex.EncodeToString(b)...), '"') }

// quoted writes a JSON string; what is no UTF-8 becomes U+FFFD.
func quoted(b []byte) []byte {
	const digits = "0123456789abcdef"
	out := []byte{'"'}
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r < ' ':
			out = append(out, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
		b = b[n:]
	}
	return append(out, '"')
}

// member adds to an object or to a part of one; element to a list.
func member(out []byte, name string, value []byte) []byte {
	if len(out) > 0 && out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	out = append(append(append(out, '"'), name...), '"', ':')
	return append(out, value...)
}

func element(out, value []byte) []byte {
	if out[len(out)-1] != '[' {
		out = append(out, ',')
	}
	return append(out, value...)
}
