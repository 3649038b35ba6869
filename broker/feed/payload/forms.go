package payload

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/tinylib/msgp/msgp"
)

// Form is a way to look at a payload. JSONForm, TextForm, HexForm, Base64Form and
// ImageForm need the bytes alone; what the others say is made by Decode.
type Form string

const (
	JSONForm      Form = "json"
	TextForm      Form = "text"
	ImageForm     Form = "image"
	SparkplugForm Form = "sparkplug"
	CBORForm      Form = "cbor"
	MsgPackForm   Form = "msgpack"
	UnbaseForm    Form = "unbase64" // text that is something else in base64
	HexForm       Form = "hex"
	Base64Form    Form = "base64"
)

// maxDecoded bounds what Decode reads, and what it makes of it.
const (
	maxDecoded = 1 << 20
	maxMade    = 4 << 20
)

// ErrNotThat says that a payload is not what it was to be decoded as.
var ErrNotThat = errors.New("the payload is something else")

// Forms lists how b may be looked at, the best first; nothing for an empty one.
// b may be the beginning of a longer payload, whose decoders then stay away.
func Forms(topicName string, b []byte) []Form {
	switch KindOf(b) {
	case Empty:
		return nil
	case JSON:
		return []Form{JSONForm, TextForm, HexForm, Base64Form}
	case Text:
		if _, ok := unbase(b); ok {
			return []Form{TextForm, UnbaseForm, HexForm, Base64Form}
		}
		return []Form{TextForm, HexForm, Base64Form}
	}
	var list []Form
	if ImageType(b) != "" {
		list = append(list, ImageForm)
	}
	if strings.HasPrefix(topicName, "spBv1.0/") {
		if _, err := Decode(SparkplugForm, b); err == nil {
			list = append(list, SparkplugForm)
		}
	}
	list = append(list, packed(b)...)
	return append(list, HexForm, TextForm, Base64Form)
}

// packed says whether b is CBOR or MessagePack. A few bytes can be both: a
// map is the likelier reading then.
func packed(b []byte) []Form {
	if len(b) > maxDecoded || len(b) < 2 {
		return nil
	}
	isCBOR := b[0] >= 0x80 && b[0] < 0xe0 && cborMode.Wellformed(b) == nil
	if isCBOR {
		_, err := Decode(CBORForm, b)
		isCBOR = err == nil
	}
	isMsgPack := false
	if b[0] >= 0x80 && b[0] < 0xa0 || b[0] >= 0xdc && b[0] <= 0xdf {
		_, err := Decode(MsgPackForm, b)
		isMsgPack = err == nil
	}
	switch {
	case isCBOR && isMsgPack && (b[0] < 0x90 || b[0] >= 0xde):
		return []Form{MsgPackForm, CBORForm}
	case isCBOR && isMsgPack:
		return []Form{CBORForm, MsgPackForm}
	case isCBOR:
		return []Form{CBORForm}
	case isMsgPack:
		return []Form{MsgPackForm}
	}
	return nil
}

var cborMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{MaxNestedLevels: 64, MaxArrayElements: 100_000, MaxMapPairs: 100_000}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}()

var cborText = func() cbor.DiagMode {
	m, err := cbor.DiagOptions{MaxNestedLevels: 64, MaxArrayElements: 100_000, MaxMapPairs: 100_000}.DiagMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}()

// Decode makes text of a payload: JSON where that can say it, else CBOR's
// diagnostic notation, or for UnbaseForm whatever the base64 hides. It fails with
// an error that is ErrNotThat when b is not of this form, or too much.
func Decode(f Form, b []byte) (text []byte, err error) {
	if len(b) > maxDecoded {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrNotThat, maxDecoded)
	}
	switch f {
	case CBORForm:
		s, err := cborText.Diagnose(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotThat, err)
		}
		text = []byte(s)
	case MsgPackForm:
		var out limited
		rest, err := msgp.UnmarshalAsJSON(&out, b)
		if err != nil || len(rest) > 0 {
			return nil, fmt.Errorf("%w: %w", ErrNotThat, err)
		}
		if text = out.Bytes(); !json.Valid(text) {
			return nil, ErrNotThat
		}
	case SparkplugForm:
		if text, err = sparkplug(b); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotThat, err)
		}
	case UnbaseForm:
		inner, ok := unbase(b)
		if !ok {
			return nil, ErrNotThat
		}
		text = inner
	default:
		return nil, ErrNotThat
	}
	if len(text) > maxMade {
		return nil, fmt.Errorf("%w: its text is too long", ErrNotThat)
	}
	return text, nil
}

// limited is a buffer that refuses to grow beyond maxMade.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxMade {
		return 0, ErrNotThat
	}
	return l.Buffer.Write(p)
}

// minBase64 is how short base64 may be to be taken for it: words are letters, too.
const minBase64 = 16

// unbase returns what base64 text hides.
func unbase(b []byte) ([]byte, bool) {
	t := bytes.TrimSpace(b)
	if len(t) < minBase64 || len(t)%4 != 0 || !bytes.ContainsAny(t, "+/=0123456789") {
		return nil, false
	}
	if bytes.IndexFunc(t, func(r rune) bool { return r < '0' || r > '9' }) < 0 {
		return nil, false // a number
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(t)))
	n, err := base64.StdEncoding.Strict().Decode(out, t)
	return out[:n], err == nil
}

// ImageType is the media type of a picture that browsers show, by its first
// bytes, or "". SVG is no picture here: it may hold script.
func ImageType(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case bytes.HasPrefix(b, []byte("GIF87a")), bytes.HasPrefix(b, []byte("GIF89a")):
		return "image/gif"
	case len(b) > 12 && bytes.HasPrefix(b, []byte("RIFF")) && string(b[8:12]) == "WEBP":
		return "image/webp"
	}
	return ""
}

// Readable is b in the words that a search or a chart may look into: decoded where
// it is packed, else as it is.
func Readable(topicName string, b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	for _, f := range Forms(topicName, b) {
		switch f {
		case SparkplugForm, CBORForm, MsgPackForm:
			if text, err := Decode(f, b); err == nil {
				return text
			}
		}
	}
	return b
}
