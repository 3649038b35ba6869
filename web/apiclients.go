package web

import (
	"context"
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
	Host          string    `json:"host" doc:"What the router calls that address; empty: not known, or not yet."`
	Product       string    `json:"product" doc:"What it seems to be; empty: no idea."`
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
	DroppedBy     string    `json:"dropped_by" doc:"The limit that its queue reached last; empty: none."`
	Slowed        uint64    `json:"slowed" doc:"How often it was read more slowly in this connection."`
	SlowedBy      string    `json:"slowed_by" doc:"By which limit; empty: none."`
	Violations    uint64    `json:"violations" doc:"Of the MQTT specification, tolerated."`
	Received      uint64    `json:"received" doc:"Messages from it in this connection."`
	Sent          uint64    `json:"sent" doc:"Messages to it in this connection."`
	InRate        float64   `json:"in_rate" doc:"Messages a second from it, lately."`
	OutRate       float64   `json:"out_rate" doc:"Messages a second to it, lately."`
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

func clientOf(s *clientInfo) APIClient {
	c := APIClient{
		ClientID: s.ClientID, Key: keyOf(s.ClientID), User: s.User, Connected: s.Connected,
		Protocol: protocolName(s.Version), Since: s.Since, Created: s.Created, KeepAlive: int(s.KeepAlive / time.Second),
		Expiry: s.Expiry, Subscriptions: s.Subscriptions, Queued: s.Queued, QueuedBytes: s.QueuedBytes, Inflight: s.Inflight,
		Dropped: s.Dropped, DroppedBy: s.DroppedBy, Slowed: s.Slowed, SlowedBy: s.SlowedBy, Violations: s.Violations, Received: s.Received, Sent: s.Sent, WillTopic: s.WillTopic,
		Host: s.host, Product: s.product(), InRate: s.in, OutRate: s.out,
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
	Text      string `query:"text" maxLength:"512" doc:"Only those with this in their name, user, address, host or product."`
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
		Will             *apiWill          `json:"will,omitempty" doc:"Absent: it has none."`
		WaitingList      []apiWaiting      `json:"waiting_list" doc:"The first messages that wait for it."`
		Denials          []apiDenial       `json:"denials" doc:"What it was denied lately."`
	}
}

type apiWill struct {
	Topic string `json:"topic"`
	APIPayload
	QoS    int  `json:"qos"`
	Retain bool `json:"retain"`
	Delay  int  `json:"delay" doc:"Seconds."`
}

type apiWaiting struct {
	Topic    string    `json:"topic"`
	Size     int       `json:"size"`
	QoS      int       `json:"qos"`
	Received time.Time `json:"received"`
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
	operate(a, huma.Operation{OperationID: "block-client", Method: http.MethodPost, Path: "/clients/{client}/block", Tags: tags, Summary: "Disable the user of a client, which keeps out all clients with that user", Errors: []int{404}},
		access.ScopeAdmin, func(ctx context.Context, in *clientInput) (*userOutput, error) {
			s, err := a.session(in.Client)
			if err != nil {
				return nil, err
			}
			u, err := a.blockClient(ctx, s)
			return &userOutput{a.user(u)}, err
		})
}

// session returns the session that a path names.
func (a *api) session(coded string) (broker.SessionInfo, error) {
	id, err := nameOf(coded)
	if err != nil {
		return broker.SessionInfo{}, err
	}
	s, _, err := a.cfg.Broker.Session(id)
	return s, err
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
	for _, s := range a.clientInfos() {
		if in.After != "" && s.ClientID <= after || in.Connected && !s.Connected || !s.matches(in.Text) {
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
	info := a.clientInfo(s)
	sessions := a.cfg.Broker.Sessions()
	for i, r := range a.clientMeter.observe(sessions) {
		if sessions[i].ClientID == id {
			info.clientRates = r
		}
	}
	out.Body.APIClient = clientOf(&info)
	out.Body.SubscriptionList = []apiSubscription{}
	for _, x := range subscriptions {
		out.Body.SubscriptionList = append(out.Body.SubscriptionList, apiSubscription{
			Filter: x.FullFilter(), QoS: int(x.QoS), NoLocal: x.NoLocal, RetainAsPublished: x.RetainAsPublished,
			Narrowed: x.Narrowed, Rule: x.Rule.Text,
		})
	}
	will, err := a.cfg.Broker.Will(id)
	if err != nil {
		return nil, err
	}
	if will != nil {
		out.Body.Will = &apiWill{Topic: will.Topic, APIPayload: payloadOf(will.Payload, will.Size), QoS: int(will.QoS), Retain: will.Retain, Delay: int(will.Delay / time.Second)}
	}
	waiting, err := a.cfg.Broker.Waiting(id, waitingRows)
	if err != nil {
		return nil, err
	}
	out.Body.WaitingList, out.Body.Denials = []apiWaiting{}, []apiDenial{}
	for _, m := range waiting {
		out.Body.WaitingList = append(out.Body.WaitingList, apiWaiting{Topic: m.Topic, Size: m.Size, QoS: int(m.QoS), Received: m.Received})
	}
	for _, d := range a.cfg.Denials.Recent() {
		if d.ClientID == id && len(out.Body.Denials) < denialRows {
			out.Body.Denials = append(out.Body.Denials, a.denial(d))
		}
	}
	return out, nil
}
