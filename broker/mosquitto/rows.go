package mosquitto

import (
	"encoding/hex"
	"encoding/json"
	"strconv"

	"hearthmq/broker/packet"
)

// Rows are the tables of a mosquitto.sqlite3 (Mosquitto 2.1 with persist-sqlite), read
// by somebody who knows SQL. NULL is the zero value.
type Rows struct {
	Messages      []MessageRow      // base_msgs
	Retained      []int64           // retains.store_id
	Clients       []ClientRow       // clients
	Subscriptions []SubscriptionRow // subscriptions
	Queued        []QueuedRow       // client_msgs by client_id, cmsg_id
	TooLarge      int               // messages whose payload was passed over: more than MaxRowPayload
}

// MaxRowPayload is the largest payload to be read, in bytes, MaxRowBytes all of them.
const (
	MaxRowPayload = maxDatabasePayload
	MaxRowBytes   = maxDatabaseBytes
)

// MessageRow is a row of base_msgs.
type MessageRow struct {
	StoreID, ExpiryTime, QoS, Retain int64
	Topic, SourceID, SourceUsername  string
	Payload                          []byte
	Properties                       string // JSON
}

// ClientRow is a row of clients.
type ClientRow struct {
	ClientID, Username                string
	SessionExpiryTime, ExpiryInterval int64
}

// SubscriptionRow is a row of subscriptions.
type SubscriptionRow struct {
	ClientID, Topic     string
	Options, Identifier int64
}

// QueuedRow is a row of client_msgs.
type QueuedRow struct {
	ClientID                                                     string
	StoreID, Direction, PacketID, QoS, Retain, State, Identifier int64
}

// FromRows makes a Database of rows.
func FromRows(file string, rows *Rows) (*Database, []Notice) {
	n := &notices{file: file}
	db := &Database{File: file, Messages: make(map[uint64]*BaseMessage, len(rows.Messages))}
	lost := 0
	for _, r := range rows.Messages {
		m := &BaseMessage{
			ID: uint64(r.StoreID), Topic: r.Topic, Payload: r.Payload, QoS: byte(r.QoS), Retain: r.Retain != 0,
			Expires: unix(r.ExpiryTime), SourceID: r.SourceID, SourceUser: r.SourceUsername,
		}
		if r.QoS < 0 || r.QoS > 2 {
			m.QoS = 3 // refused later on, and counted
		}
		var ok bool
		if m.Properties, ok = propertiesFromJSON(r.Properties); !ok {
			lost++
		}
		db.Messages[m.ID] = m
	}
	if lost > 0 {
		n.add(0, Left, "", "the MQTT 5 properties of %s were not well formed", plural(lost, "message", "messages"))
	}
	if rows.TooLarge > 0 {
		n.add(0, Left, "", "%s of more than %d bytes", plural(rows.TooLarge, "message", "messages"), MaxRowPayload)
	}
	for _, id := range rows.Retained {
		db.Retained = append(db.Retained, uint64(id))
	}
	for _, r := range rows.Clients {
		db.Clients = append(db.Clients, Client{
			ID: r.ClientID, User: r.Username, UserKnown: true, ExpiresAt: unix(r.SessionExpiryTime),
			Expiry: uint32(min(max(r.ExpiryInterval, 0), 0xFFFFFFFF)),
		})
	}
	for _, r := range rows.Subscriptions {
		db.Subscriptions = append(db.Subscriptions, Subscription{
			ClientID: r.ClientID, Filter: r.Topic, QoS: byte(r.Options & 3), Options: byte(r.Options & 0xFC),
			Identifier: uint32(min(max(r.Identifier, 0), 1<<28)),
		})
	}
	for _, r := range rows.Queued {
		db.Queued = append(db.Queued, ClientMessage{
			ClientID: r.ClientID, MessageID: uint64(r.StoreID), PacketID: uint16(r.PacketID), QoS: byte(min(max(r.QoS, 0), 3)),
			Retain: r.Retain != 0, Incoming: r.Direction == 0, State: byte(r.State), Identifier: uint32(min(max(r.Identifier, 0), 1<<28)),
		})
	}
	return db, n.all()
}

// propertiesFromJSON turns Mosquitto's JSON of properties into what is on the wire.
func propertiesFromJSON(text string) (wire []byte, ok bool) {
	if text == "" {
		return nil, true
	}
	if len(text) > maxProperties {
		return nil, false
	}
	var list []struct {
		Identifier string          `json:"identifier"`
		Name       string          `json:"name"`
		Value      json.RawMessage `json:"value"`
	}
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil, false
	}
	var p packet.Properties
	for _, x := range list {
		var s string
		if json.Unmarshal(x.Value, &s) != nil {
			s = string(x.Value)
		}
		switch x.Identifier {
		case "payload-format-indicator":
			v, err := strconv.ParseUint(s, 10, 8)
			if err != nil || v > 1 {
				return nil, false
			}
			p.SetPayloadFormat(byte(v))
		case "content-type":
			p.SetContentType(s)
		case "response-topic":
			p.SetResponseTopic(s)
		case "correlation-data":
			b, err := hex.DecodeString(s)
			if err != nil {
				return nil, false
			}
			p.SetCorrelationData(b)
		case "user-property":
			p.AddUser(x.Name, s)
		}
	}
	wire = p.AppendForward(nil)
	_, err := packet.DecodeProperties(wire)
	return wire, err == nil
}
