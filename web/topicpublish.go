package web

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
	"hearthmq/broker/topic"
)

// publishProperties are the MQTT 5 properties that a person may give a message.
type publishProperties struct {
	ContentType   string      `json:"contentType"`
	ResponseTopic string      `json:"responseTopic"`
	Correlation   string      `json:"correlation"`
	IsText        bool        `json:"isText"` // Payload Format Indicator
	Expiry        uint32      `json:"expiry"` // seconds, 0: never
	User          [][2]string `json:"user"`
}

// maxPropertyBytes bounds one property: the wire allows no more.
const maxPropertyBytes = 65535

func (p topicsPage) publish(ctx context.Context, req topicRequest) (any, error) {
	refuse := func(text string) (any, error) { return nil, problemWith(http.StatusUnprocessableEntity, text) }
	if req.QoS > 2 {
		return refuse("QoS is 0, 1 or 2.")
	}
	if req.Topic[0] == '$' {
		return refuse("Topics that begin with $ belong to the broker.")
	}
	body, ok := decodePayload(req.Encoding, req.Payload)
	if !ok {
		return refuse("The message is not written in the encoding that is chosen.")
	}
	m := broker.NewMessage(req.Topic, body, req.QoS, req.Retain)
	m.PublisherID, m.PublisherUser = publisherAdmin, principalOf(ctx).name
	m.Received = time.Now()
	if problem := req.Properties.apply(m); problem != "" {
		return refuse(problem)
	}
	retained := p.s.retainedOn(req.Topic)
	if err := p.s.cfg.Broker.Publish(ctx, m); err != nil {
		return nil, err
	}
	return nil, p.s.published(ctx, m, retained)
}

func decodePayload(encoding, text string) ([]byte, bool) {
	switch encoding {
	case "", "text":
		return []byte(text), true
	case "base64":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		return b, err == nil
	case "hex":
		b, err := hex.DecodeString(strings.TrimPrefix(strings.Join(strings.Fields(text), ""), "0x"))
		return b, err == nil
	}
	return nil, false
}

// apply gives m the properties and says what is wrong with them, "" for nothing.
func (q publishProperties) apply(m *broker.Message) string {
	var p packet.Properties
	if q.ContentType != "" {
		p.SetContentType(q.ContentType)
	}
	if q.ResponseTopic != "" {
		if err := topic.ValidName(q.ResponseTopic); err != nil {
			return "The response topic " + err.Error() + "."
		}
		p.SetResponseTopic(q.ResponseTopic)
	}
	if q.Correlation != "" {
		p.SetCorrelationData([]byte(q.Correlation))
	}
	if q.IsText {
		p.SetPayloadFormat(1)
	}
	if len(q.User) > packet.MaxUserProperties {
		return "There are too many user properties."
	}
	for _, u := range q.User {
		p.AddUser(u[0], u[1])
		if len(u[0]) > maxPropertyBytes || len(u[1]) > maxPropertyBytes {
			return "A user property is too long."
		}
	}
	for _, text := range []string{q.ContentType, q.Correlation} {
		if len(text) > maxPropertyBytes {
			return "A property is too long."
		}
	}
	m.Properties = p.AppendForward(nil)
	if _, err := packet.DecodeProperties(m.Properties); err != nil {
		return "A property has characters that MQTT does not allow."
	}
	if q.Expiry > 0 {
		m.Expires = m.Received.Add(time.Duration(q.Expiry) * time.Second)
	}
	return ""
}
