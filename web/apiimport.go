package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"hearthmq/broker/access"
	"hearthmq/ui"
)

// Where files are sent; bodyLimit lets more through there.
const (
	apiImportPath  = "/import/mosquitto"
	apiRestorePath = "/restore"
)

type uploadInput struct {
	Request *http.Request `contentType:"multipart/form-data"`
}

type backupInput struct {
	Request *http.Request `contentType:"application/octet-stream"`
}

// apiReport says what comes of files of Mosquitto's, in words for people.
type apiReport struct {
	Over     []string      `json:"over" doc:"Comes over as it is."`
	There    []string      `json:"there" doc:"Is here already."`
	Changed  []string      `json:"changed" doc:"Comes over, but not exactly."`
	Left     []string      `json:"left" doc:"Stays behind."`
	Broken   []string      `json:"broken" doc:"Can't be read: nothing is imported."`
	Settings []apiKeyValue `json:"settings" doc:"Settings that do what Mosquitto's configuration does."`
	Check    []string      `json:"check" doc:"To look at by yourself."`
}

type apiKeyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type dryRunOutput struct {
	Body struct {
		Report apiReport `json:"report"`
		Token  string    `json:"token" doc:"Has it stored within half an hour: POST /import/mosquitto/apply. Empty: it can't be."`
	}
}

type applyInput struct {
	Body struct {
		Token string `json:"token" maxLength:"128"`
	}
}

type importedOutput struct {
	Body struct {
		Users    int       `json:"users"`
		Roles    int       `json:"roles"`
		Retained int       `json:"retained"`
		Sessions int       `json:"sessions"`
		Queued   int       `json:"queued" doc:"Messages that wait in these sessions."`
		Report   apiReport `json:"report"`
	}
}

type checkedOutput struct {
	Body struct {
		Key      string `json:"key" doc:"Has it restored: POST /restore/apply."`
		Contents string `json:"contents" doc:"What is in it, for people."`
	}
}

type restoreInput struct {
	Body struct {
		Key string `json:"key" maxLength:"128"`
	}
}

func reportOf(v ui.ImportView) apiReport {
	list := func(lines []string) []string { return append([]string{}, lines...) }
	r := apiReport{
		Over: list(v.Over), There: list(v.There), Changed: list(v.Changed), Left: list(v.Left), Broken: list(v.Broken), Check: list(v.Check), Settings: []apiKeyValue{},
	}
	for _, s := range v.Settings {
		r.Settings = append(r.Settings, apiKeyValue(s))
	}
	return r
}

func (a *api) importOperations() {
	tags := []string{"Come and go"}
	operate(a, huma.Operation{OperationID: "look-at-mosquitto", Method: http.MethodPost, Path: apiImportPath, Tags: tags,
		Summary: "Say what would come of Mosquitto's files: up to 20 parts of a form, or the app's options in a part options. Changes nothing."},
		access.ScopeAdmin, func(ctx context.Context, in *uploadInput) (*dryRunOutput, error) {
			files, problem, err := uploadsOf(in.Request)
			if err != nil {
				return nil, err
			}
			if problem == "" && len(files) == 0 {
				problem = "send at least one file"
			}
			if problem != "" {
				return nil, access.Problems{"files": problem}
			}
			report, token, err := a.lookImport(ctx, files)
			if err != nil {
				return nil, err
			}
			out := new(dryRunOutput)
			out.Body.Report, out.Body.Token = reportOf(importView(report)), token
			return out, nil
		})
	operate(a, huma.Operation{OperationID: "import-mosquitto", Method: http.MethodPost, Path: apiImportPath + "/apply", Tags: tags, Summary: "Import what was looked at"},
		access.ScopeAdmin, func(ctx context.Context, in *applyInput) (*importedOutput, error) {
			report, done, err := a.importNow(ctx, in.Body.Token)
			if err != nil {
				return nil, err
			}
			out := new(importedOutput)
			out.Body.Report = reportOf(importView(report))
			out.Body.Users, out.Body.Roles = len(done.Accounts.Users), len(done.Accounts.Roles)
			out.Body.Retained, out.Body.Sessions, out.Body.Queued = done.Retained, done.Sessions, done.Queued
			return out, nil
		})
	if a.cfg.Backups == nil {
		return
	}
	operate(a, huma.Operation{OperationID: "check-backup", Method: http.MethodPost, Path: apiRestorePath, Tags: tags, Summary: "Send a backup and have it looked through. Changes nothing."},
		access.ScopeAdmin, func(ctx context.Context, in *backupInput) (*checkedOutput, error) {
			out := new(checkedOutput)
			var err error
			out.Body.Key, out.Body.Contents, err = a.cfg.Backups.Check(ctx, in.Request.Body)
			return out, err
		})
	operate(a, huma.Operation{OperationID: "restore-backup", Method: http.MethodPost, Path: apiRestorePath + "/apply", Tags: tags, Errors: []int{404},
		DefaultStatus: http.StatusAccepted, Summary: "Start again with the backup that was looked through"},
		access.ScopeAdmin, func(ctx context.Context, in *restoreInput) (*emptyOutput, error) {
			return nil, a.restoreBackup(ctx, in.Body.Key)
		})
}
