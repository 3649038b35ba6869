package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker/access"
)

// apiBlock keeps clients out, whoever they log in as.
type apiBlock struct {
	ID        int64     `json:"id"`
	Kind      string    `json:"kind" enum:"client,address"`
	Value     string    `json:"value"`
	Note      string    `json:"note"`
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
}

func blockOf(b access.Ban) apiBlock {
	return apiBlock{ID: b.ID, Kind: string(b.Kind), Value: b.Value, Note: b.Note, Created: b.Created, CreatedBy: b.CreatedBy}
}

type blockOutput struct{ Body apiBlock }

type blocksOutput struct {
	Body struct {
		Blocks []apiBlock `json:"blocks"`
	}
}

type newBlockInput struct {
	Body struct {
		Kind  string `json:"kind" enum:"client,address" doc:"By the client identifier, or by where it comes from."`
		Value string `json:"value" maxLength:"65535" doc:"Client identifier, address, or network such as 192.168.7.0/24."`
		Note  string `json:"note,omitempty" maxLength:"1024"`
	}
}

func (a *api) blockOperations() {
	if a.cfg.Bans == nil {
		return
	}
	tags := []string{"Clients"}
	operate(a, huma.Operation{OperationID: "list-blocks", Method: http.MethodGet, Path: "/blocks", Tags: tags, Summary: "Client identifiers and addresses that are kept out"},
		access.ScopeRead, func(context.Context, *struct{}) (*blocksOutput, error) {
			out := new(blocksOutput)
			out.Body.Blocks = []apiBlock{}
			for _, b := range a.cfg.Bans.List() {
				out.Body.Blocks = append(out.Body.Blocks, blockOf(b))
			}
			return out, nil
		})
	operate(a, huma.Operation{OperationID: "create-block", Method: http.MethodPost, Path: "/blocks", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Keep out a client identifier, an address or a network, and disconnect whom that means"},
		access.ScopeAdmin, func(ctx context.Context, in *newBlockInput) (*blockOutput, error) {
			b, err := a.ban(ctx, access.BanKind(in.Body.Kind), in.Body.Value, in.Body.Note)
			return &blockOutput{blockOf(b)}, err
		})
	operate(a, huma.Operation{OperationID: "delete-block", Method: http.MethodDelete, Path: "/blocks/{id}", Tags: tags, Summary: "Let in again whom a block keeps out", Errors: []int{404}},
		access.ScopeAdmin, func(ctx context.Context, in *idInput) (*emptyOutput, error) { return nil, a.lift(ctx, in.ID) })
}
