package web

import (
	"net/netip"
	"strings"

	"hearthmq/broker/access"
)

// apiLimits are a user's limits; 0 or absent: no limit. The fields are those of
// broker.Limits, in their order.
type apiLimits struct {
	Connections      int     `json:"connections,omitempty" minimum:"0" maximum:"4294967295" doc:"At a time."`
	ConnectRate      float64 `json:"connects,omitempty" minimum:"0" doc:"New connections a second."`
	MessageRate      float64 `json:"messages,omitempty" minimum:"0" doc:"A second, of each connection; who is faster is read more slowly."`
	ByteRate         float64 `json:"bytes,omitempty" minimum:"0" doc:"A second, of each connection."`
	PacketSize       uint32  `json:"packet,omitempty" doc:"Largest packet in bytes."`
	Inflight         uint16  `json:"inflight,omitempty" doc:"Messages of QoS 1 and 2 under way to a client."`
	QueuedMessages   int     `json:"queued,omitempty" minimum:"0" maximum:"4294967295" doc:"Messages that wait for a client."`
	QueuedBytes      int     `json:"queued_bytes,omitempty" minimum:"0" maximum:"4294967295"`
	Subscriptions    int     `json:"subscriptions,omitempty" minimum:"0" maximum:"4294967295" doc:"Of one client."`
	RetainedMessages int     `json:"retained,omitempty" minimum:"0" maximum:"4294967295" doc:"That the user's clients published last."`
	RetainedBytes    int64   `json:"retained_bytes,omitempty" minimum:"0" maximum:"1125899906842624"`
	TopicLevels      int     `json:"levels,omitempty" minimum:"0" maximum:"4294967295" doc:"Of topics and filters; 201 hold for all."`
}

// readNetworks reads a list of networks; the error is a Problems.
func readNetworks(texts []string) ([]netip.Prefix, error) {
	list, err := access.ParseNetworks(strings.Join(texts, "\n"))
	if err != nil {
		return nil, access.Problems{"networks": err.Error()}
	}
	return list, nil
}
