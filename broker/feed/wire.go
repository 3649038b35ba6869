package feed

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"hearthmq/broker/feed/payload"
	"hearthmq/broker/packet"
)

// AppendJSON appends u as the browser's script reads it:
//
//	{"list":{"from":n,"to":n,"all":n,"topics":n,"rows":[[index,id,level,up,pos,size,flags,count,"name"],…]},
//	 "val":[[id,"text",count,age,retained,rate],…], "match":{…}, "at":[index,id,chosen,reveal], "opened":[[id,"topic"],…],
//	 "detail":{…}, "gone":true, "rate":n, "totals":{…}}
//
// Flags of a row are 1 for a topic, 2 for a folder, 4 for an open one; others are 0
// and 1, ages milliseconds. It is written by hand because five frames a second go to
// each browser.
func (u *Update) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	if l := u.List; l != nil {
		b = strconv.AppendInt(append(b, `"list":{"from":`...), int64(l.From), 10)
		b = strconv.AppendInt(append(b, `,"to":`...), int64(l.To), 10)
		b = strconv.AppendInt(append(b, `,"all":`...), int64(l.All), 10)
		b = strconv.AppendInt(append(b, `,"topics":`...), int64(l.Topics), 10)
		b = append(b, `,"rows":[`...)
		for i := range l.Rows {
			b = l.Rows[i].appendJSON(b)
		}
		b = append(endList(b), "},"...)
	}
	if len(u.Values) > 0 {
		b = append(b, `"val":[`...)
		for i := range u.Values {
			b = u.Values[i].appendJSON(b)
		}
		b = append(endList(b), ',')
	}
	if m := u.Match; m != nil {
		b = appendQuoted(append(b, `"match":{"filter":`...), m.Filter)
		b = strconv.AppendInt(append(b, `,"count":`...), int64(m.Count), 10)
		if m.Problem != "" {
			b = appendQuoted(append(b, `,"problem":`...), m.Problem)
		}
		b = append(b, "},"...)
	}
	if a := u.At; a != nil {
		b = strconv.AppendInt(append(b, `"at":[`...), int64(a.Index), 10)
		b = strconv.AppendUint(append(b, ','), uint64(a.ID), 10)
		b = appendFlag(append(b, ','), a.Chosen)
		b = append(appendFlag(append(b, ','), a.Reveal), "],"...)
	}
	if len(u.Opened) > 0 {
		b = append(b, `"opened":[`...)
		for _, o := range u.Opened {
			b = strconv.AppendUint(append(b, '['), uint64(o.ID), 10)
			b = append(appendQuoted(append(b, ','), o.Topic), "],"...)
		}
		b = append(endList(b), ',')
	}
	if u.Gone {
		b = append(b, `"gone":true,`...)
	}
	if u.Detail != nil {
		b = append(u.Detail.appendJSON(append(b, `"detail":`...)), ',')
	}
	if u.Rate != nil {
		b = append(appendFloat(append(b, `"rate":`...), *u.Rate), ',')
	}
	if t := u.Totals; t != nil {
		b = strconv.AppendInt(append(b, `"totals":{"topics":`...), int64(t.Topics), 10)
		b = strconv.AppendInt(append(b, `,"limit":`...), int64(t.Limit), 10)
		b = strconv.AppendUint(append(b, `,"evicted":`...), t.Evicted, 10)
		b = strconv.AppendUint(append(b, `,"unseen":`...), t.Unseen, 10)
		b = append(b, "},"...)
	}
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return append(b, '}')
}

func (r *Row) appendJSON(b []byte) []byte {
	flags := 0
	for i, on := range []bool{r.Topic, r.Folder, r.Open} {
		if on {
			flags |= 1 << i
		}
	}
	b = append(b, '[')
	for _, n := range [...]int{r.Index, int(r.ID), r.Level, r.Up, r.Pos, r.Size, flags, r.Count} {
		b = append(strconv.AppendInt(b, int64(n), 10), ',')
	}
	return append(appendQuoted(b, r.Name), "],"...)
}

func (v *Value) appendJSON(b []byte) []byte {
	b = strconv.AppendUint(append(b, '['), uint64(v.ID), 10)
	b = appendQuoted(append(b, ','), v.Text)
	b = strconv.AppendUint(append(b, ','), v.Count, 10)
	b = strconv.AppendInt(append(b, ','), v.Age, 10)
	b = appendFlag(append(b, ','), v.Retained)
	b = strconv.AppendFloat(append(b, ','), v.Rate, 'g', 2, 64)
	return append(b, "],"...)
}

// AppendJSON appends d as it stands in an Update.
func (d *Detail) AppendJSON(b []byte) []byte { return d.appendJSON(b) }

func (d *Detail) appendJSON(b []byte) []byte {
	b = strconv.AppendUint(append(b, `{"id":`...), uint64(d.ID), 10)
	b = d.Topic.appendJSON(append(b, `,"topic":`...))
	if !d.IsTopic {
		return append(b, '}')
	}
	b = appendQuoted(append(b, `,"kind":`...), string(d.Kind))
	b = d.Value.appendJSON(append(b, `,"value":`...))
	b = strconv.AppendInt(append(b, `,"size":`...), int64(d.Size), 10)
	b = strconv.AppendInt(append(b, `,"kept":`...), int64(d.Kept), 10)
	b = strconv.AppendInt(append(b, `,"qos":`...), int64(d.QoS), 10)
	b = appendFlag(append(b, `,"retained":`...), d.Retained)
	b = strconv.AppendUint(append(b, `,"count":`...), d.Count, 10)
	b = strconv.AppendUint(append(b, `,"bytes":`...), d.Bytes, 10)
	b = strconv.AppendInt(append(b, `,"age":`...), d.Age, 10)
	b = appendFloat(append(b, `,"rate":`...), d.Rate)
	b = appendFloat(append(b, `,"every":`...), d.Every)
	b = appendQuoted(append(b, `,"client":`...), d.ClientID)
	b = appendQuoted(append(b, `,"user":`...), d.User)
	b = appendQuoted(append(b, `,"remote":`...), d.Remote)
	if d.PrevSize >= 0 {
		b = strconv.AppendInt(append(b, `,"prevSize":`...), int64(d.PrevSize), 10)
		b = strconv.AppendInt(append(b, `,"prevAge":`...), d.PrevAge, 10)
		if d.Previous != nil {
			b = d.Previous.appendJSON(append(b, `,"prev":`...))
		}
	}
	if len(d.Forms) > 0 {
		b = append(b, `,"forms":[`...)
		for _, f := range d.Forms {
			b = append(appendQuoted(b, string(f)), ',')
		}
		b = endList(b)
	}
	if d.Decoded != nil {
		b = appendQuoted(append(b, `,"decodedForm":`...), string(d.DecodedForm))
		b = d.Decoded.appendJSON(append(b, `,"decoded":`...))
		b = appendFlag(append(b, `,"decodedLong":`...), d.DecodedLong)
	}
	b = strconv.AppendInt(append(b, `,"history":`...), int64(d.History), 10)
	b = strconv.AppendUint(append(b, `,"seq":`...), d.Seq, 10)
	b = appendFlag(append(b, `,"pinned":`...), d.Pinned)
	b = appendFlag(append(b, `,"whole":`...), d.Whole)
	b = appendProperties(b, d.Properties)
	return append(b, '}')
}

// appendProperties appends the MQTT 5 properties that people read.
func appendProperties(b, raw []byte) []byte {
	p, err := packet.DecodeProperties(raw)
	if err != nil || len(raw) == 0 {
		return b
	}
	b = append(b, `,"props":[`...)
	add := func(name, value string) {
		b = appendQuoted(append(b, '['), name)
		b = append(appendQuoted(append(b, ','), value), "],"...)
	}
	if p.Has(packet.PropPayloadFormat) {
		add("Payload format", [...]string{"bytes", "text"}[min(p.PayloadFormat, 1)])
	}
	if p.Has(packet.PropContentType) {
		add("Content type", p.ContentType)
	}
	if p.Has(packet.PropResponseTopic) {
		add("Response topic", p.ResponseTopic)
	}
	if p.Has(packet.PropCorrelationData) {
		add("Correlation data", payload.Preview(p.CorrelationData, previewRunes))
	}
	for _, u := range p.User {
		add(u.Key, u.Value)
	}
	return endList(b)
}

// appendJSON appends a string, or {"b64":"…"}.
func (t Text) appendJSON(b []byte) []byte {
	if !t.Base64 {
		return appendQuoted(b, t.Bytes)
	}
	b = append(b, `{"b64":"`...)
	b = base64.StdEncoding.AppendEncode(b, t.Bytes)
	return append(b, `"}`...)
}

// endList closes a list whose elements each left a comma.
func endList(b []byte) []byte {
	if b[len(b)-1] == ',' {
		b[len(b)-1] = ']'
		return b
	}
	return append(b, ']')
}

func appendFlag(b []byte, v bool) []byte {
	if v {
		return append(b, '1')
	}
	return append(b, '0')
}

func appendFloat(b []byte, v float64) []byte { return strconv.AppendFloat(b, v, 'f', 3, 64) }

// appendQuoted appends s as a JSON string; bytes that are no UTF-8 become U+FFFD.
func appendQuoted[S string | []byte](b []byte, s S) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c == '\n':
				b = append(b, '\\', 'n')
			case c == '\t':
				b = append(b, '\\', 't')
			case c < ' ':
				b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		b = utf8.AppendRune(b, r)
		i += n
	}
	return append(b, '"')
}

// quotedLen is how long appendQuoted makes valid UTF-8.
func quotedLen(s []byte) int {
	n := len(s) + 2
	for _, c := range s {
		switch {
		case c == '"' || c == '\\' || c == '\n' || c == '\t':
			n++
		case c < ' ':
			n += 5
		}
	}
	return n
}
