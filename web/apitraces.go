package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

type apiTrace struct {
	ID       string    `json:"id"`
	ClientID string    `json:"client_id"`
	Key      string    `json:"key" doc:"The client identifier as base64url, for paths."`
	Begun    time.Time `json:"begun"`
	Stopped  bool      `json:"stopped"`
}

func traceOf(x *tracedClient, stopped bool) apiTrace {
	return apiTrace{ID: x.id, ClientID: x.trace.ClientID(), Key: keyOf(x.trace.ClientID()), Begun: x.trace.Begun(), Stopped: stopped}
}

type apiPacket struct {
	Seq      uint64    `json:"seq"`
	At       time.Time `json:"at"`
	From     string    `json:"from" enum:"client,broker"`
	Type     string    `json:"type" doc:"As MQTT calls it; connection ended is none of MQTT's."`
	Bytes    int       `json:"bytes" doc:"On the wire."`
	PacketID int       `json:"packet_id" doc:"0: it has none."`
	Topic    string    `json:"topic" doc:"Its first 1,024 bytes; … tells that there are more."`
	QoS      int       `json:"qos"`
	Retain   bool      `json:"retain"`
	Dup      bool      `json:"dup"`
	APIPayload
	Failed bool   `json:"failed" doc:"A reason code says so."`
	Detail string `json:"detail"`
}

type traceOutput struct{ Body apiTrace }

type tracesOutput struct {
	Body struct {
		Traces []apiTrace `json:"traces"`
	}
}

type traceInput struct {
	ID string `path:"id" maxLength:"20" pattern:"^[0-9]+$"`
}

type packetsInput struct {
	traceInput
	After uint64 `query:"after" doc:"last of the answer before."`
	Limit int    `query:"limit" minimum:"1" maximum:"2000" default:"500"`
	Wait  int    `query:"wait" minimum:"0" maximum:"30" doc:"Seconds to wait for a packet when there is none."`
}

type packetsOutput struct {
	Body struct {
		Packets []apiPacket `json:"packets"`
		Last    uint64      `json:"last"`
		Stopped bool        `json:"stopped" doc:"Nothing more will come."`
	}
}

func (a *api) traceOperations() {
	tags := []string{"Clients"}
	operate(a, huma.Operation{OperationID: "trace-client", Method: http.MethodPost, Path: "/clients/{client}/trace", Tags: tags, DefaultStatus: http.StatusCreated, Errors: []int{404, 409},
		Summary: "Record the packets of a client, the next connections' too. It ends when nobody looks for ten minutes."},
		access.ScopeAdmin, func(ctx context.Context, in *clientInput) (*traceOutput, error) {
			id, err := nameOf(in.Client)
			if err != nil {
				return nil, err
			}
			t, err := a.beginTrace(ctx, id)
			if err != nil {
				return nil, err
			}
			return &traceOutput{traceOf(t, false)}, nil
		})
	operate(a, huma.Operation{OperationID: "list-traces", Method: http.MethodGet, Path: "/traces", Tags: tags, Summary: "Traces that record"},
		access.ScopeRead, func(context.Context, *struct{}) (*tracesOutput, error) {
			out := new(tracesOutput)
			out.Body.Traces = []apiTrace{}
			for _, t := range a.tracing.list() {
				out.Body.Traces = append(out.Body.Traces, traceOf(t, false))
			}
			return out, nil
		})
	operate(a, huma.Operation{OperationID: "get-packets", Method: http.MethodGet, Path: "/traces/{id}/packets", Tags: tags, Summary: "Packets of a trace, the oldest first; ask again with after and wait to follow it", Errors: []int{404}},
		access.ScopeRead, a.packets)
	operate(a, huma.Operation{OperationID: "follow-trace", Method: http.MethodGet, Path: "/traces/{id}/follow", Tags: tags,
		Summary: "Packets of a trace as they come, a line of JSON for each; an empty line is a sign of life. It ends with the trace, and with the token.",
		Errors:  []int{404, 429}, Responses: a.packetStream()},
		access.ScopeRead, a.follow)
	operate(a, huma.Operation{OperationID: "download-trace", Method: http.MethodGet, Path: "/traces/{id}/download", Tags: tags, Summary: "A trace as text",
		Errors: []int{404}, Responses: fileResponse("One line for each packet", "text/plain; charset=utf-8")},
		access.ScopeRead, func(_ context.Context, in *traceInput) (*download, error) {
			x, _, err := a.tracing.get(in.ID)
			if err != nil {
				return nil, err
			}
			return &download{func(w http.ResponseWriter) { sendTrace(w, x) }}, nil
		})
	operate(a, huma.Operation{OperationID: "stop-trace", Method: http.MethodPost, Path: "/traces/{id}/stop", Tags: tags, Summary: "Record no more; what there is stays for an hour", Errors: []int{404}},
		access.ScopeAdmin, func(ctx context.Context, in *traceInput) (*traceOutput, error) {
			x, _, err := a.tracing.get(in.ID)
			if err != nil {
				return nil, err
			}
			if err := a.endTrace(ctx, x); err != nil {
				return nil, err
			}
			return &traceOutput{traceOf(x, true)}, nil
		})
}

// fileResponse describes the answer of what gives a file.
func fileResponse(what, kind string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: what, Content: map[string]*huma.MediaType{kind: {}}}}
}

// packetStep is how often a request that waits looks for packets.
const packetStep = 100 * time.Millisecond

func (a *api) packets(ctx context.Context, in *packetsInput) (*packetsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(in.Wait)*time.Second)
	defer cancel()
	tick := time.NewTicker(packetStep)
	defer tick.Stop()
	for {
		x, stopped, err := a.tracing.get(in.ID)
		if err != nil {
			return nil, err
		}
		list := x.trace.After(in.After, in.Limit)
		if len(list) > 0 || stopped || ctx.Err() != nil {
			out := new(packetsOutput)
			out.Body.Packets, out.Body.Last, out.Body.Stopped = make([]apiPacket, len(list)), in.After, stopped
			for i, p := range list {
				out.Body.Packets[i], out.Body.Last = packetOf(p), p.Seq
			}
			return out, nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func packetOf(p broker.TracedPacket) apiPacket {
	out := apiPacket{
		Seq: p.Seq, At: p.At, From: "broker", Type: p.Type, Bytes: p.Size, PacketID: int(p.PacketID), Topic: p.Topic, QoS: int(p.QoS),
		Retain: p.Retain, Dup: p.Dup, APIPayload: payloadOf(p.Payload, p.PayloadSize), Failed: p.Failed, Detail: p.Detail,
	}
	if p.In {
		out.From = "client"
	}
	return out
}
