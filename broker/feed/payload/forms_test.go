package payload_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/tinylib/msgp/msgp"
	"google.golang.org/protobuf/encoding/protowire"

	"hearthmq/broker/feed/payload"
)

func packCBOR(t *testing.T, v any) string {
	t.Helper()
	b, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func packMsgPack(t *testing.T, v any) string {
	t.Helper()
	b, err := msgp.AppendIntf(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// metric is a Sparkplug metric with a value in the field num.
func metric(name string, kind uint64, num protowire.Number, value func([]byte) []byte) []byte {
	var m []byte
	m = protowire.AppendString(protowire.AppendTag(m, 1, protowire.BytesType), name)
	m = protowire.AppendVarint(protowire.AppendTag(m, 3, protowire.VarintType), 1700000000000)
	m = protowire.AppendVarint(protowire.AppendTag(m, 4, protowire.VarintType), kind)
	return value(m)
}

func sparkplug(metrics ...[]byte) string {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1700000000001)
	for _, m := range metrics {
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), m)
	}
	return string(protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), 7))
}

func double(v uint64) func([]byte) []byte {
	return func(b []byte) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(b, 13, protowire.Fixed64Type), v)
	}
}

func TestForms(t *testing.T) {
	for _, c := range []struct {
		name, topic, in string
		want            payload.Form // the best, "" for none
	}{
		{"empty", "x", "", ""},
		{"JSON", "x", `{"a":1}`, payload.JSONForm},
		{"text", "x", "ON", payload.TextForm},
		{"a word is no base64", "x", "temperaturesensor", payload.TextForm},
		{"png", "x", "\x89PNG\r\n\x1a\n\x00", payload.ImageForm},
		{"jpeg", "x", "\xff\xd8\xff\xe0", payload.ImageForm},
		{"svg is text", "x", `<svg onload="x"/>`, payload.TextForm},
		{"CBOR", "x", packCBOR(t, map[string]any{"t": 21.5, "on": true, "id": []byte{1, 2}}), payload.CBORForm},
		{"CBOR list", "x", packCBOR(t, []int{1000, 2000, 70000}), payload.CBORForm},
		{"MessagePack", "x", packMsgPack(t, map[string]any{"t": 21.5, "on": true, "n": 70000}), payload.MsgPackForm},
		{"Sparkplug", "spBv1.0/g/NDATA/n", sparkplug(metric("t", 10, 13, double(0x4035800000000000))), payload.SparkplugForm},
		{"not below spBv1.0", "x", sparkplug(metric("t", 10, 13, double(0x4035800000000000))), payload.HexForm},
		{"random bytes", "spBv1.0/g/NDATA/n", "\xc1\xc1\xc1\x00\x00\xff", payload.HexForm},
		{"cut CBOR", "x", "\xa2\x61a", payload.HexForm},
	} {
		got := payload.Forms(c.topic, []byte(c.in))
		if c.want == "" && len(got) != 0 || c.want != "" && (len(got) == 0 || got[0] != c.want) {
			t.Errorf("%s: %v, want %q first", c.name, got, c.want)
		}
		if len(got) > 0 && (!slices.Contains(got, payload.HexForm) || !slices.Contains(got, payload.TextForm)) {
			t.Errorf("%s: %v lacks a way to see the bytes", c.name, got)
		}
	}
	if got := payload.Forms("x", []byte("eyJoZWxsbyI6IndvcmxkIn0=")); !slices.Contains(got, payload.UnbaseForm) {
		t.Errorf("base64 is not found: %v", got)
	}
}

func TestDecode(t *testing.T) {
	neg := func(b []byte) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, 10, protowire.VarintType), uint64(uint32(0xffffffff)))
	}
	for _, c := range []struct {
		name, in string
		form     payload.Form
		want     string
	}{
		{"CBOR", packCBOR(t, map[string]any{"t": 21.5}), payload.CBORForm, `{"t": 21.5}`},
		{"CBOR bytes", packCBOR(t, []byte{1, 255}), payload.CBORForm, `h'01ff'`},
		{"MessagePack", packMsgPack(t, map[string]any{"t": 21.5}), payload.MsgPackForm, `{"t":21.5}`},
		{"base64", "eyJoZWxsbyI6IndvcmxkIn0=", payload.UnbaseForm, `{"hello":"world"}`},
		{"Sparkplug", sparkplug(metric(`a"b`, 10, 13, double(0x4035800000000000)), metric("n", 3, 10, neg)), payload.SparkplugForm,
			`{"timestamp":1700000000001,"seq":7,"metrics":{"a\"b":{"value":21.5,"type":"Double","timestamp":1700000000000},"n":{"value":-1,"type":"Int32","timestamp":1700000000000}}}`},
	} {
		got, err := payload.Decode(c.form, []byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
	deep := strings.Repeat("\x81", 500) + "\x01"
	for _, f := range []payload.Form{payload.CBORForm, payload.MsgPackForm, payload.SparkplugForm, payload.UnbaseForm, payload.HexForm, "x"} {
		for _, in := range []string{"", "\xc1", strings.Repeat("\xa1", 2<<20)} {
			if _, err := payload.Decode(f, []byte(in)); !errors.Is(err, payload.ErrNotThat) && !(f == payload.SparkplugForm && in == "") {
				t.Errorf("%s of %d bytes: %v", f, len(in), err)
			}
		}
	}
	if _, err := payload.Decode(payload.CBORForm, []byte(deep)); err == nil {
		t.Error("500 lists in each other are decoded")
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		in   string
		path []string
		want float64
		ok   bool
	}{
		{"21.5", nil, 21.5, true}, {" -3e2\n", nil, -300, true}, {"ON", nil, 1, true}, {"off", nil, 0, true}, {"21.5 °C", nil, 21.5, true},
		{"NaN", nil, 0, false}, {"0x10", nil, 0, false}, {"", nil, 0, false}, {"abc", nil, 0, false}, {"1_000", nil, 0, false},
		{`{"a":{"b":[1,2.5]}}`, []string{"a", "b", "1"}, 2.5, true},
		{`{"a":"17.5"}`, []string{"a"}, 17.5, true}, {`{"a":true}`, []string{"a"}, 1, true}, {`{"a":null}`, []string{"a"}, 0, false},
		{`{"a":1}`, []string{"b"}, 0, false}, {`[1]`, []string{"-1"}, 0, false}, {`[1]`, []string{"9"}, 0, false}, {`{"a":`, []string{"a"}, 0, false},
		{packMsgPack(t, map[string]any{"t": 21.5}), []string{"t"}, 21.5, true},
		{packCBOR(t, map[string]any{"t": 21.5}), []string{"t"}, 21.5, true},
	} {
		if got, ok := payload.Number("x", []byte(c.in), c.path); got != c.want || ok != c.ok {
			t.Errorf("%q at %q: %v, %v", c.in, c.path, got, ok)
		}
	}
}

// FuzzDecode: hostile bytes give text or an error, and what says it is JSON is.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(sparkplug(metric("t", 10, 13, double(1)))))
	f.Add([]byte("\xa1\x61t\xf9\x4d\x60"))
	f.Add([]byte("\x81\xa1t\xcb\x40\x35\x80\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, form := range payload.Forms("spBv1.0/x", b) {
			text, err := payload.Decode(form, b)
			if err == nil && (form == payload.SparkplugForm || form == payload.MsgPackForm) && !json.Valid(text) {
				t.Errorf("%s of %s is no JSON: %s", form, hex.EncodeToString(b), text)
			}
		}
		payload.Number("spBv1.0/x", b, []string{"metrics", "t", "value"})
	})
}
