package feed

import (
	"slices"
	"time"

	"hearthmq/broker/feed/payload"
)

// maxDecodedText bounds what a Detail carries in the form that was decoded.
const maxDecodedText = 96 << 10

// decode says what the payload is and, where that takes a decoder, what it says.
func (d *Detail) decode(topicName string, form payload.Form, whole []byte) {
	d.Kind = payload.KindOf(d.Value.Bytes)
	look := d.Value.Bytes
	if d.Kind == payload.Binary && d.Whole {
		look = whole // half a map can't be read
	}
	d.Forms = payload.Forms(topicName, look)
	if len(d.Forms) == 0 {
		return
	}
	if !slices.Contains(d.Forms, form) {
		form = d.Forms[0]
	}
	switch form {
	case payload.CBORForm, payload.MsgPackForm, payload.SparkplugForm, payload.UnbaseForm:
		text, err := payload.Decode(form, look)
		if err != nil {
			return
		}
		d.DecodedLong = len(text) > maxDecodedText
		t := newText(cutText(text, maxDecodedText))
		d.DecodedForm, d.Decoded = form, &t
	}
}

// Describe makes a Detail of one message of a topic's history.
func (s *Sample) Describe(topicName, form string, now time.Time) *Detail {
	d := &Detail{
		Topic: newText([]byte(topicName)), IsTopic: true, Value: newText(s.Payload), Size: s.Size, Kept: len(s.Payload),
		QoS: s.QoS, Retained: s.Retain, Age: max(0, now.Sub(s.At).Milliseconds()), ClientID: s.ClientID, User: s.User,
		PrevSize: -1, Seq: s.Seq, Whole: len(s.Payload) == s.Size, Properties: s.Properties,
	}
	d.decode(topicName, payload.Form(form), s.Payload)
	return d
}
