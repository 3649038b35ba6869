package web

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker/access"
)

type statsOutput struct {
	Body struct {
		Version          string    `json:"version"`
		Started          time.Time `json:"started"`
		Now              time.Time `json:"now"`
		Clients          int       `json:"clients" doc:"Connected now."`
		Sessions         int       `json:"sessions" doc:"Connected or not."`
		Subscriptions    int       `json:"subscriptions"`
		Retained         int       `json:"retained"`
		RetainedBytes    int64     `json:"retained_bytes"`
		Queued           int       `json:"queued"`
		QueuedBytes      int64     `json:"queued_bytes"`
		Received         uint64    `json:"messages_received"`
		Sent             uint64    `json:"messages_sent"`
		Dropped          uint64    `json:"messages_dropped"`
		BytesReceived    uint64    `json:"bytes_received"`
		BytesSent        uint64    `json:"bytes_sent"`
		ConnectsAccepted uint64    `json:"connects_accepted"`
		ConnectsRefused  uint64    `json:"connects_refused"`
		Denied           uint64    `json:"denied"`
		Topics           int       `json:"topics" doc:"Topics whose last value is known."`
		StoreFailing     bool      `json:"store_failing"`
		Pending          int       `json:"store_pending" doc:"Changes that are not on disk yet."`
	}
}

type apiChange struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	Via    string    `json:"via"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Object string    `json:"object"`
	Before string    `json:"before"`
	After  string    `json:"after"`
}

type auditInput struct {
	Text   string    `query:"text" maxLength:"256"`
	Via    string    `query:"via" enum:",admin,home assistant,token,command line,set-up,$CONTROL,HearthMQ"`
	Since  time.Time `query:"since"`
	Until  time.Time `query:"until"`
	Before int64     `query:"before" doc:"next of the page before."`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type auditOutput struct {
	Body struct {
		Changes []apiChange `json:"changes"`
		Next    int64       `json:"next" doc:"before of the next page, 0: there is none."`
	}
}

type logInput struct {
	After  uint64 `query:"after" doc:"last of the answer before."`
	Level  string `query:"level" enum:"debug,info,warning,error" default:"info"`
	Text   string `query:"text" maxLength:"512" doc:"Stands in the line."`
	Client string `query:"client" maxLength:"512" doc:"Stands in the client identifier or the user of the line."`
	Limit  int    `query:"limit" minimum:"1" maximum:"2000" default:"200"`
}

type apiLogLine struct {
	Seq     uint64            `json:"seq"`
	At      time.Time         `json:"at"`
	Level   string            `json:"level"`
	Message string            `json:"message"`
	Values  map[string]string `json:"values"`
}

type logOutput struct {
	Body struct {
		Lines []apiLogLine `json:"lines"`
		Last  uint64       `json:"last"`
	}
}

type debugInput struct {
	Body struct {
		On bool `json:"on"`
	}
}

type apiCertificate struct {
	Ports   string    `json:"ports"`
	File    string    `json:"file"`
	Names   []string  `json:"names" doc:"That it is good for."`
	Issuer  string    `json:"issuer"`
	Begins  time.Time `json:"begins,omitzero"`
	Ends    time.Time `json:"ends,omitzero"`
	Problem string    `json:"problem" doc:"Why it can't be used; empty when it can."`
}

type certificatesOutput struct {
	Body struct {
		Certificates []apiCertificate `json:"certificates"`
	}
}

type apiAttention struct {
	Kind  string `json:"kind" enum:"error,warning,info"`
	Title string `json:"title"`
	Text  string `json:"text"`
}

type attentionOutput struct {
	Body struct {
		Attention []apiAttention `json:"attention"`
	}
}

type apiSetting struct {
	Group   string `json:"group"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Origin  string `json:"origin" doc:"Where it was set; default: nowhere."`
	Meaning string `json:"meaning"`
}

type settingsOutput struct {
	Body struct {
		Settings []apiSetting `json:"settings"`
	}
}

func (a *api) systemOperations() {
	tags := []string{"HearthMQ itself"}
	operate(a, huma.Operation{OperationID: "get-stats", Method: http.MethodGet, Path: "/stats", Tags: tags, Summary: "Figures; counters count since the start"},
		access.ScopeRead, a.stats)
	operate(a, huma.Operation{OperationID: "list-changes", Method: http.MethodGet, Path: "/audit", Tags: tags, Summary: "Who changed what, the latest first", Errors: []int{422}},
		access.ScopeRead, a.changes)
	operate(a, huma.Operation{OperationID: "get-log", Method: http.MethodGet, Path: "/log", Tags: tags, Summary: "The last lines of the log, the oldest first", Errors: []int{422}},
		access.ScopeRead, a.logLines)
	operate(a, huma.Operation{OperationID: "list-settings", Method: http.MethodGet, Path: "/settings", Tags: tags, Summary: "The settings of the start, without secrets"},
		access.ScopeRead, func(context.Context, *struct{}) (*settingsOutput, error) {
			out := new(settingsOutput)
			out.Body.Settings = []apiSetting{}
			for _, s := range a.cfg.Settings {
				out.Body.Settings = append(out.Body.Settings, apiSetting{s.Group, s.Key, s.Value, s.Default, s.Origin, s.Meaning})
			}
			return out, nil
		})
	operate(a, huma.Operation{OperationID: "list-attention", Method: http.MethodGet, Path: "/attention", Tags: tags, Summary: "What somebody should look at, the worst first"},
		access.ScopeRead, func(context.Context, *struct{}) (*attentionOutput, error) {
			out := new(attentionOutput)
			out.Body.Attention = []apiAttention{}
			for _, v := range a.attention(a.cfg.Broker.Stats()) {
				out.Body.Attention = append(out.Body.Attention, apiAttention{v.Kind, v.Title, v.Text})
			}
			return out, nil
		})
	operate(a, huma.Operation{OperationID: "list-certificates", Method: http.MethodGet, Path: "/certificates", Tags: tags, Summary: "The certificates of the encrypted ports"},
		access.ScopeRead, func(context.Context, *struct{}) (*certificatesOutput, error) {
			out := new(certificatesOutput)
			out.Body.Certificates = []apiCertificate{}
			if a.cfg.Certificates != nil {
				for _, c := range a.cfg.Certificates() {
					out.Body.Certificates = append(out.Body.Certificates, apiCertificate{
						Ports: c.Ports, File: c.File, Names: append([]string{}, c.Names...), Issuer: c.Issuer, Begins: c.Begins, Ends: c.Ends, Problem: c.Problem,
					})
				}
			}
			return out, nil
		})
	operate(a, huma.Operation{OperationID: "set-debug", Method: http.MethodPost, Path: "/log/debug", Tags: tags, Summary: "Keep level debug in the log for 15 minutes, or no more"},
		access.ScopeAdmin, func(ctx context.Context, in *debugInput) (*emptyOutput, error) {
			return nil, a.keepDebug(ctx, in.Body.On)
		})
	operate(a, huma.Operation{
		OperationID: "get-backup", Method: http.MethodGet, Path: "/backup", Tags: tags,
		Summary: "A backup of everything, secrets included: it needs scope admin. hearthmq restore takes it", Errors: []int{404},
		Responses: fileResponse("An SQLite database", "application/octet-stream"),
	}, access.ScopeAdmin, a.backup)
}

func (a *api) stats(context.Context, *struct{}) (*statsOutput, error) {
	s := a.cfg.Broker.Stats()
	out := new(statsOutput)
	b := &out.Body
	b.Version, b.Started, b.Now = a.cfg.Version, s.Started, s.Now
	b.Clients, b.Sessions, b.Subscriptions = s.Clients, s.Sessions, s.Subscriptions
	b.Retained, b.RetainedBytes, b.Queued, b.QueuedBytes = s.Retained, s.RetainedBytes, s.QueuedMessages, s.QueuedBytes
	b.Received, b.Sent, b.Dropped = s.PublishReceived, s.PublishSent, s.PublishDropped
	b.BytesReceived, b.BytesSent = s.BytesReceived, s.BytesSent
	b.ConnectsAccepted, b.ConnectsRefused, b.Denied = s.ConnectsAccepted, s.ConnectsRefused, s.Denied
	b.Topics, b.StoreFailing, b.Pending = a.cfg.Feed.Totals().Topics, s.StoreError != nil, s.JournalPending
	return out, nil
}

func (a *api) changes(ctx context.Context, in *auditInput) (*auditOutput, error) {
	list, next, err := a.cfg.Accounts.Audit(ctx, access.AuditQuery{
		Text: in.Text, Via: access.Via(in.Via), Since: in.Since, Until: in.Until, Before: in.Before, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := new(auditOutput)
	out.Body.Changes, out.Body.Next = []apiChange{}, next
	for _, e := range list {
		out.Body.Changes = append(out.Body.Changes, apiChange{e.ID, e.At, string(e.Via), e.Actor, e.Action, e.Object, e.Before, e.After})
	}
	return out, nil
}

func (a *api) logLines(_ context.Context, in *logInput) (*logOutput, error) {
	out := new(logOutput)
	out.Body.Lines, out.Body.Last = []apiLogLine{}, a.cfg.LogBook.Last()
	if in.After > out.Body.Last {
		in.After = 0 // HearthMQ was started again
	}
	filter := logFilter{level: levelOf(in.Level), client: in.Client, text: in.Text}
	most := in.Limit
	if in.Text != "" || in.Client != "" {
		most = logEntries
	}
	for _, e := range a.cfg.LogBook.After(in.After, filter.level, most) {
		if !filter.matches(e) {
			continue
		}
		if len(out.Body.Lines) == in.Limit {
			break
		}
		line := apiLogLine{Seq: e.Seq, At: e.At, Level: levelKey(e.Level), Message: e.Message, Values: map[string]string{}}
		for _, v := range e.Values {
			line.Values[v.Key] = v.Value
		}
		out.Body.Lines = append(out.Body.Lines, line)
	}
	return out, nil
}

func (a *api) backup(ctx context.Context, _ *struct{}) (*download, error) {
	if a.cfg.Backups == nil {
		return nil, huma.Error404NotFound("there is no database to back up")
	}
	file, size, err := a.makeBackup(ctx)
	if err != nil {
		return nil, err
	}
	return &download{func(w http.ResponseWriter) {
		defer file.Close()
		attachment(w, backupName(), "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		if _, err := io.Copy(w, file); err != nil {
			a.log.Debug("a backup was not fetched to its end", "err", err)
		}
	}}, nil
}
