package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/topic"
)

// RetainedFields say which retained messages are meant. They are exported since huma
// describes embedded fields of no other type.
type RetainedFields struct {
	Filter    string `json:"filter,omitempty" maxLength:"65535" doc:"Topic filter with + and #. $SYS is not part of #."`
	Text      string `json:"text,omitempty" maxLength:"1024" doc:"Stands in the topic or the value."`
	Regexp    bool   `json:"regexp,omitempty" doc:"text is a regular expression."`
	Publisher string `json:"publisher,omitempty" maxLength:"512" doc:"Stands in the client identifier or the user of who sent it."`
	OlderDays int    `json:"older_days,omitempty" minimum:"0" maximum:"3650"`
	GoneDays  int    `json:"gone_days,omitempty" minimum:"0" maximum:"3650" doc:"Who sent it is away for that long."`
}

type retainedInput struct {
	Body struct {
		RetainedFields
		After string `json:"after,omitempty" maxLength:"65535" doc:"Last topic of the page before."`
		Limit int    `json:"limit,omitempty" minimum:"1" maximum:"1000" default:"100"`
		Most  int    `json:"max_payload,omitempty" minimum:"0" maximum:"65536" default:"1024" doc:"Bytes of each value that are wanted at most."`
	}
}

type dropInput struct {
	Body struct {
		RetainedFields
		Topics []string `json:"topics,omitempty" maxItems:"10000" doc:"Instead of the others."`
		Tell   bool     `json:"tell,omitempty" doc:"Deliver empty messages to those who are subscribed: so Home Assistant removes discovered devices."`
		DryRun bool     `json:"dry_run,omitempty" doc:"Only say what would be removed."`
	}
}

type dropOutput struct {
	Body struct {
		Count   int      `json:"count"`
		Topics  []string `json:"topics" doc:"The first 1000 of them."`
		Removal int64    `json:"removal,omitempty" doc:"What undoes it: POST /retained/removals/{id}/undo. Absent: nothing was removed."`
	}
}

type apiRemoval struct {
	ID       int64     `json:"id"`
	At       time.Time `json:"at"`
	Actor    string    `json:"actor"`
	What     string    `json:"what"`
	Notified bool      `json:"told" doc:"Subscribers got empty messages, and get the values again."`
	Topics   int       `json:"topics"`
	Bytes    int64     `json:"bytes"`
}

type removalsOutput struct {
	Body struct {
		Removals []apiRemoval `json:"removals"`
	}
}

type undoOutput struct {
	Body struct {
		Count int `json:"count" doc:"Messages that are there again; where there is another by now, that one stays."`
	}
}

func (a *api) retainedOperations() {
	tags := []string{"Messages"}
	operate(a, huma.Operation{OperationID: "query-retained", Method: http.MethodPost, Path: "/retained/query", Tags: tags, Summary: "Retained messages, sorted by topic. Changes nothing."},
		access.ScopeRead, a.queryRetained)
	operate(a, huma.Operation{OperationID: "delete-retained", Method: http.MethodPost, Path: "/retained/delete", Tags: tags, Summary: "Remove retained messages; it can be undone for thirty days"},
		access.ScopeAdmin, a.deleteRetained)
	operate(a, huma.Operation{OperationID: "list-removals", Method: http.MethodGet, Path: "/retained/removals", Tags: tags, Summary: "Removals that can be undone, the latest first"},
		access.ScopeRead, func(ctx context.Context, _ *struct{}) (*removalsOutput, error) {
			list, err := a.cfg.Trash.Removals(ctx)
			out := new(removalsOutput)
			out.Body.Removals = []apiRemoval{}
			for _, r := range list {
				out.Body.Removals = append(out.Body.Removals, apiRemoval(r))
			}
			return out, err
		})
	operate(a, huma.Operation{OperationID: "undo-removal", Method: http.MethodPost, Path: "/retained/removals/{id}/undo", Tags: tags, Summary: "Put back what a removal took", Errors: []int{404}},
		access.ScopeAdmin, func(ctx context.Context, in *idInput) (*undoOutput, error) {
			out := new(undoOutput)
			var err error
			out.Body.Count, err = a.putBack(ctx, in.ID)
			return out, err
		})
}

// retainedLike returns the messages that fields mean, sorted by topic.
func (a *api) retainedLike(fields RetainedFields) ([]*broker.Message, retainedFilter, error) {
	f := retainedFilter{text: fields.Text, regexp: fields.Regexp, publisher: fields.Publisher, older: fields.OlderDays, gone: fields.GoneDays}.ready()
	filter := cmp.Or(fields.Filter, "#")
	if err := checkFilter(filter); err != nil {
		return nil, f, err
	}
	if f.problem != "" {
		return nil, f, access.Problems{"text": f.problem}
	}
	now, who := time.Now(), presenceOf(a.cfg.Broker.AllSessions())
	var list []*broker.Message
	for m := range a.cfg.Broker.Retained(filter) {
		if !m.Expired(now) && f.keepsTo(m, now, who) {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(x, y *broker.Message) int { return strings.Compare(x.Topic, y.Topic) })
	return list, f, nil
}

func (a *api) queryRetained(_ context.Context, in *retainedInput) (*topicsOutput, error) {
	found, _, err := a.retainedLike(in.Body.RetainedFields)
	if err != nil {
		return nil, err
	}
	out := new(topicsOutput)
	out.Body.Topics = []apiTopic{}
	for _, m := range found {
		if m.Topic <= in.Body.After {
			continue
		}
		if len(out.Body.Topics) == in.Body.Limit {
			out.Body.More = true
			break
		}
		rule, _ := a.cfg.Broker.Withheld(m)
		out.Body.Topics = append(out.Body.Topics, apiTopic{
			Topic: m.Topic, Key: keyOf(m.Topic), APIPayload: payloadOf(m.Payload[:min(len(m.Payload), in.Body.Most)], len(m.Payload)),
			QoS: int(m.QoS), Retained: true, At: m.Received, ClientID: m.PublisherID, User: m.PublisherUser, Withheld: rule.Text,
		})
	}
	return out, nil
}

func (a *api) deleteRetained(ctx context.Context, in *dropInput) (*dropOutput, error) {
	fields, names := in.Body.RetainedFields, in.Body.Topics
	if (fields == RetainedFields{}) == (len(names) == 0) {
		return nil, access.Problems{"filter": "say which: by filter, text, publisher, age, or by topics alone"}
	}
	if len(names) > 0 {
		var list []*broker.Message
		for _, name := range names {
			if topic.ValidName(name) != nil {
				return nil, access.Problems{"topics": "are topics, without wildcards"}
			}
			list = slices.AppendSeq(list, a.cfg.Broker.Retained(name))
		}
		return a.drop(ctx, list, strings.Join(names[:min(len(names), 10)], ", "), in.Body.Tell, in.Body.DryRun)
	}
	list, f, err := a.retainedLike(fields)
	if err != nil {
		return nil, err
	}
	what := f.words()
	switch {
	case fields.Filter != "" && f.narrow():
		what = fields.Filter + ", " + what
	case fields.Filter != "":
		what = fields.Filter
	}
	return a.drop(ctx, list, what, in.Body.Tell, in.Body.DryRun)
}

// drop removes messages, or says which it would. Those of the broker itself stay.
func (a *api) drop(ctx context.Context, list []*broker.Message, what string, tell, dryRun bool) (*dropOutput, error) {
	list = slices.DeleteFunc(list, owned)
	out := new(dropOutput)
	if !dryRun {
		var err error
		if list, out.Body.Removal, err = a.remove(ctx, list, clipText(what, maxLogValue), tell); err != nil {
			return nil, err
		}
	}
	out.Body.Count, out.Body.Topics = len(list), []string{}
	for _, m := range list[:min(len(list), maxListed)] {
		out.Body.Topics = append(out.Body.Topics, m.Topic)
	}
	return out, nil
}
