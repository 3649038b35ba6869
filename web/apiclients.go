package web

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// APIClient is a session with its connection, if there is one. It is exported since huma
// describes embedded fields of no other type.
type APIClient struct {
	ClientID      string    `json:"client_id"`
	Key           string    `json:"key" doc:"The client identifier as base64url, for paths."`
	User          string    `json:"user" doc:"Empty: anonymous."`
	Connected     bool      `json:"connected"`
	Address       string    `json:"address" doc:"Empty while it is away."`
	Listener      string    `json:"listener"`
	Protocol      string    `json:"protocol"`
	Since         time.Time `json:"since" doc:"Connected or away since."`
	Created       time.Time `json:"created" doc:"The session began."`
	KeepAlive     int       `json:"keep_alive" doc:"Seconds."`
	Expiry        uint32    `json:"session_expiry" doc:"Seconds that the session is kept after the connection; 4294967295: for ever."`
	Subscriptions int       `json:"subscriptions"`
	Queued        int       `json:"queued" doc:"Messages that wait for it."`
	QueuedBytes   int       `json:"queued_bytes"`
	Inflight      int       `json:"inflight" doc:"Messages under way to it."`
	Dropped       uint64    `json:"dropped"`
	Violations    uint64    `json:"violations" doc:"Of the MQTT specification, tolerated."`
	Received      uint64    `json:"received" doc:"Messages from it in this connection."`
	Sent          uint64    `json:"sent" doc:"Messages to it in this connection."`
	WillTopic     string    `json:"will_topic" doc:"Empty: it has no will."`
}

type apiSubscription struct {
	Filter            string `json:"filter"`
	QoS               int    `json:"qos"`
	NoLocal           bool   `json:"no_local"`
	RetainAsPublished bool   `json:"retain_as_published"`
	Narrowed          bool   `json:"narrowed" doc:"Part of what it matches is not delivered for lack of rights."`
	Rule              string `json:"rule"`
}

func clientOf(s broker.SessionInfo) APIClient {
	c := APIClient{
		ClientID: s.ClientID, Key: base64.RawURLEncoding.EncodeToString([]byte(s.ClientID)), User: s.User, Connected: s.Connected,
		Protocol: protocolName(s.Version), Since: s.Since, Created: s.Created, KeepAlive: int(s.KeepAlive / time.Second),
		Expiry: s.Expiry, Subscriptions: s.Subscriptions, Queued: s.Queued, QueuedBytes: s.QueuedBytes, Inflight: s.Inflight,
		Dropped: s.Dropped, Violations: s.Violations, Received: s.Received, Sent: s.Sent, WillTopic: s.WillTopic,
	}
	if s.Connected && s.Identity != nil {
		c.Listener = s.Identity.Listener
		if s.Identity.Remote.IsValid() {
			c.Address = s.Identity.Remote.String()
		}
	}
	return c
}

type clientsInput struct {
	Limit     int    `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
	After     string `query:"after" doc:"key of the last client of the page before."`
	Connected bool   `query:"connected" doc:"Only those that are connected."`
}

type clientsOutput struct {
	Body struct {
		Clients []APIClient `json:"clients"`
		More    bool        `json:"more" doc:"There is another page."`
	}
}

type clientInput struct {
	Client string `path:"client" maxLength:"512" doc:"Client identifier as base64url without padding."`
}

type clientOutput struct {
	Body struct {
		APIClient
		SubscriptionList []apiSubscription `json:"subscription_list"`
	}
}

func (a *api) clientOperations() {
	tags := []string{"Clients"}
	operate(a, huma.Operation{OperationID: "list-clients", Method: http.MethodGet, Path: "/clients", Tags: tags, Summary: "All sessions, sorted by client identifier", Errors: []int{422}},
		access.ScopeRead, a.listClients)
	operate(a, huma.Operation{OperationID: "get-client", Method: http.MethodGet, Path: "/clients/{client}", Tags: tags, Summary: "One session with its subscriptions", Errors: []int{404, 422}},
		access.ScopeRead, a.getClient)
	operate(a, huma.Operation{OperationID: "disconnect-client", Method: http.MethodPost, Path: "/clients/{client}/disconnect", Tags: tags, Summary: "End a connection; the session stays", Errors: []int{404, 422}},
		access.ScopeAdmin, func(ctx context.Context, in *clientInput) (*emptyOutput, error) {
			id, err := nameOf(in.Client)
			if err != nil {
				return nil, err
			}
			return nil, a.disconnectClient(ctx, id)
		})
	operate(a, huma.Operation{OperationID: "delete-session", Method: http.MethodDelete, Path: "/clients/{client}", Tags: tags, Summary: "End a connection and forget the session with what waits in it", Errors: []int{404, 422}},
		access.ScopeAdmin, func(ctx context.Context, in *clientInput) (*emptyOutput, error) {
			id, err := nameOf(in.Client)
			if err != nil {
				return nil, err
			}
			return nil, a.forgetSession(ctx, id)
		})
}

func (a *api) listClients(_ context.Context, in *clientsInput) (*clientsOutput, error) {
	after := ""
	if in.After != "" {
		var err error
		if after, err = nameOf(in.After); err != nil {
			return nil, err
		}
	}
	out := new(clientsOutput)
	out.Body.Clients = []APIClient{}
	for _, s := range a.cfg.Broker.Sessions() {
		if in.After != "" && s.ClientID <= after || in.Connected && !s.Connected {
			continue
		}
		if len(out.Body.Clients) == in.Limit {
			out.Body.More = true
			break
		}
		out.Body.Clients = append(out.Body.Clients, clientOf(s))
	}
	return out, nil
}

func (a *api) getClient(_ context.Context, in *clientInput) (*clientOutput, error) {
	id, err := nameOf(in.Client)
	if err != nil {
		return nil, err
	}
	s, subscriptions, err := a.cfg.Broker.Session(id)
	if err != nil {
		return nil, err
	}
	out := new(clientOutput)
	out.Body.APIClient = clientOf(s)
	out.Body.SubscriptionList = []apiSubscription{}
	for _, x := range subscriptions {
		out.Body.SubscriptionList = append(out.Body.SubscriptionList, apiSubscription{
			Filter: x.FullFilter(), QoS: int(x.QoS), NoLocal: x.NoLocal, RetainAsPublished: x.RetainAsPublished,
			Narrowed: x.Narrowed, Rule: x.Rule.Text,
		})
	}
	return out, nil
}
