package dynsec_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/dynsec"
	"hearthmq/broker/topic"
)

// passwordHash is of "password".
const passwordHash = "$6$clQ4Ocu312S0qWgl$Cv2wUxgEN73c6C6jlBkswqR4AkHsvDLWvtEXZZ8NpsBLgP1WAo/qA+WXcmEN/mjDNgdUwcxRAveqNMs2xUVQYA=="

const small = `{"defaultACLAccess":{"publishClientReceive":true,"unsubscribe":true},
"clients":[{"username":"admin","textName":"Boss","encoded_password":"` + passwordHash + `","roles":[{"rolename":"admin"}]},{"username":"admin"},{"username":""},7],
"roles":[{"rolename":"admin","acls":[{"acltype":"publishclientsend","topic":"$CONTROL/#","allow":true},{"acltype":"nonsense","topic":"x"}]}]}`

func open(t *testing.T, file, text string) *dynsec.Engine {
	t.Helper()
	if file == "" {
		file = filepath.Join(t.TempDir(), "d.json")
	}
	if text != "" {
		if err := os.WriteFile(file, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	e, err := dynsec.Open(t.Context(), dynsec.Options{File: file, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ask sends commands and returns the answers without their frame.
func ask(t *testing.T, e *dynsec.Engine, commands string) string {
	t.Helper()
	got := string(e.Control(t.Context(), &broker.Identity{User: "admin", ClientID: "ctrl"}, []byte(`{"commands":[`+commands+`]}`)))
	got, ok1 := strings.CutPrefix(got, `{"responses":[`)
	got, ok2 := strings.CutSuffix(got, `]}`)
	if !ok1 || !ok2 {
		t.Fatal(got)
	}
	return got
}

// What is asked and answered, one after the other.
func TestCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.json")
	e := open(t, file, small)
	e.Sessions = func() iter.Seq[broker.SessionInfo] {
		at := func(id, user, addr string) broker.SessionInfo {
			return broker.SessionInfo{ClientID: id, User: user, Connected: true, Identity: &broker.Identity{Remote: netip.MustParseAddrPort(addr)}}
		}
		return slices.Values([]broker.SessionInfo{at("a", "admin", "192.0.2.1:5"), at("b", "lamp", "192.0.2.2:5"), at("only", "lamp", "192.0.2.3:5"), {User: "lamp"}})
	}
	refused := func(command, rest, why string) [2]string {
		return [2]string{`{"command":"` + command + `"` + rest + `}`, `{"command":"` + command + `","error":"` + why + `"}`}
	}
	rows := [][2]string{
		{`{"command":"getDetails"}`, `{"command":"getDetails","data":{"changeIndex":0,"clientCount":1,"groupCount":0,"roleCount":1}}`},
		{`{"command":"CREATEROLE","rolename":"r","textname":"R","acls":[{"acltype":"subscribePattern","topic":"b/#","priority":1,"allow":true},{"acltype":"subscribePattern","topic":"a/#","priority":9},{"acltype":"subscribePattern","topic":"c/#","priority":1}]}`, `{"command":"CREATEROLE"}`},
		refused("createRole", `,"rolename":"r"`, "Role already exists"),
		refused("createRole", `,"rolename":""`, "Empty rolename"),
		refused("createRole", `,"rolename":"x","allowwildcardsubs":7`, "Invalid allowwildcardsubs"),
		{`{"command":"getRole","rolename":"r","correlationData":"c"}`, `{"command":"getRole","correlationData":"c","data":{"role":{"rolename":"r","textname":"R","allowwildcardsubs":true,"acls":[` +
			`{"acltype":"subscribePattern","topic":"a/#","priority":9,"allow":false},{"acltype":"subscribePattern","topic":"b/#","priority":1,"allow":true},{"acltype":"subscribePattern","topic":"c/#","priority":1,"allow":false}]}}}`},
		{`{"command":"addRoleACL","rolename":"r","acltype":"publishClientSend","topic":"x","allow":true}`, `{"command":"addRoleACL"}`},
		refused("addRoleACL", `,"rolename":"r","acltype":"publishClientSend","topic":"x"`, "ACL with this topic already exists"),
		refused("addRoleACL", `,"rolename":"r","acltype":"x","topic":"x"`, "Unknown acltype"),
		refused("addRoleACL", `,"rolename":"r","acltype":"publishClientSend"`, "Invalid/missing topic"),
		refused("addRoleACL", `,"rolename":"r","acltype":"publishClientSend","topic":"a/#/b"`, "Invalid ACL topic"),
		refused("addRoleACL", `,"rolename":"r","acltype":"publishClientSend","topic":"\uffff"`, "Topic not valid UTF-8"),
		{`{"command":"removeRoleACL","rolename":"r","acltype":"publishClientSend","topic":"x"}`, `{"command":"removeRoleACL"}`},
		refused("removeRoleACL", `,"rolename":"r","acltype":"publishClientSend","topic":"x"`, "ACL not found"),
		{`{"command":"createGroup","groupname":"g","roles":[{"rolename":"r","priority":5}]}`, `{"command":"createGroup"}`},
		refused("createGroup", `,"groupname":"g"`, "Group already exists"),
		refused("createGroup", `,"groupname":"h","roles":[{"rolename":"none"}]`, "Role not found"),
		refused("createGroup", `,"groupname":"h","roles":[{}]`, "'roles' not an array or missing/invalid rolename"),
		{`{"command":"createClient","username":"lamp","password":"shine","clientid":"only","textdescription":"D","groups":[{"groupname":"g","priority":2}],"roles":[{"rolename":"r"},{"rolename":"admin","priority":3}]}`, `{"command":"createClient"}`},
		refused("createClient", `,"username":5`, "Invalid/missing username"),
		refused("createClient", `,"username":"a\u0001"`, "Username not valid UTF-8"),
		refused("createClient", `,"username":"x","textname":5`, "Invalid/missing textname"),
		refused("createClient", `,"username":"lamp"`, "Client already exists"),
		refused("createClient", `,"username":"x","groups":[{"groupname":"none"}]`, "Group not found"),
		{`{"command":"getClient","username":"lamp"}`, `{"command":"getClient","data":{"client":{"username":"lamp","clientid":"only","textdescription":"D","roles":[{"rolename":"admin","priority":3},{"rolename":"r"}],"groups":[{"groupname":"g","priority":2}],"connections":[{"address":"192.0.2.3"}]}}}`},
		{`{"command":"listClients"}`, `{"command":"listClients","data":{"clients":["admin","lamp"],"totalCount":2}}`},
		{`{"command":"listClients","count":1,"offset":1}`, `{"command":"listClients","data":{"clients":["lamp"],"totalCount":2}}`},
		{`{"command":"listClients","verbose":true,"count":1}`, `{"command":"listClients","data":{"clients":[{"username":"admin","textname":"Boss","roles":[{"rolename":"admin"}],"groups":[],"connections":[{"address":"192.0.2.1"}]}],"totalCount":2}}`},
		{`{"command":"modifyClient","username":"lamp","clientid":"","textname":"L","roles":[],"groups":[]}`, `{"command":"modifyClient"}`},
		refused("modifyClient", `,"username":"lamp","groups":[{"groupname":"none"}]`, "'groups' contains an object with a 'groupname' that does not exist"),
		{`{"command":"disableClient","username":"lamp"}`, `{"command":"disableClient"}`},
		{`{"command":"addClientRole","username":"lamp","rolename":"r"}`, `{"command":"addClientRole"}`},
		refused("addClientRole", `,"username":"lamp"`, "Invalid/missing rolename"),
		{`{"command":"addGroupClient","username":"lamp","groupname":"g"}`, `{"command":"addGroupClient"}`},
		refused("addGroupClient", `,"username":"lamp","groupname":"g"`, "Client is already in this group"),
		refused("addGroupRole", `,"rolename":"r","groupname":"g"`, "Group is already in this role"),
		{`{"command":"getGroup","groupname":"g"}`, `{"command":"getGroup","data":{"group":{"groupname":"g","clients":[{"username":"lamp"}],"roles":[{"rolename":"r","priority":5}]}}}`},
		{`{"command":"setAnonymousGroup","groupname":"g"}`, `{"command":"setAnonymousGroup"}`},
		refused("deleteGroup", `,"groupname":"g"`, "Deleting the anonymous group is forbidden"),
		{`{"command":"getAnonymousGroup"}`, `{"command":"getAnonymousGroup","data":{"group":{"groupname":"g"}}}`},
		{`{"command":"setDefaultACLAccess","acls":[{"acltype":"subscribe","allow":true}]}`, `{"command":"setDefaultACLAccess"}`},
		{`{"command":"getDefaultACLAccess"}`, `{"command":"getDefaultACLAccess","data":{"acls":[{"acltype":"publishClientSend","allow":false},{"acltype":"publishClientReceive","allow":true},{"acltype":"subscribe","allow":true},{"acltype":"unsubscribe","allow":true}]}}`},
		refused("setClientPassword", `,"username":"lamp","password":""`, "Empty password is not allowed"),
		// case A22: nobody could log in with these, or with something else
		refused("setClientPassword", `,"username":"lamp","password":"`+strings.Repeat("x", 1025)+`"`, "Invalid password: at most 1024 bytes, this has 1025"),
		refused("setClientPassword", `,"username":"lamp","password":"caf`+"\xe9"+`"`, "Invalid password: it holds bytes that are no text (UTF-8), which can't be set this way"),
		refused("modifyClient", `,"username":"lamp","password":"\ud800"`, "Invalid password: it holds bytes that are no text (UTF-8), which can't be set this way"),
		refused("setClientId", `,"username":"lamp","clientid":5`, "Invalid/missing client ID"),
		refused("nonsense", ``, "Unknown command"),
		{`{"command":"getDetails"},{"command":"getDetails","correlationData":7},{"command":"getDetails"}`, `{"command":"getDetails","data":{"changeIndex":11,"clientCount":2,"groupCount":1,"roleCount":2}},{"command":"getDetails","error":"Invalid correlationData data type."}`},
		{`{}`, `{"command":"Unknown command","error":"Missing command"}`},
		{`1`, `{"command":"Unknown command","error":"Command not an object"}`},
	}
	for _, x := range rows {
		if got := ask(t, e, x[0]); got != x[1] {
			t.Errorf("%s\ngot  %s\nwant %s", x[0], got, x[1])
		}
	}
	// The file has it all.
	for _, command := range []string{"listClients", "listGroups", "listRoles"} {
		command = `{"command":"` + command + `","verbose":true}`
		e.Sessions = nil
		if before, after := ask(t, e, command), ask(t, open(t, file, ""), command); before != after {
			t.Errorf("stored\n%s\nread\n%s", before, after)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	for command, want := range map[string]string{
		`deleteRole","rolename":"r`: `{"command":"deleteRole"}`, `deleteClient","username":"lamp`: `{"command":"deleteClient"}`, `deleteClient","username":"x`: `{"command":"deleteClient","error":"Client not found"}`,
	} {
		if got := ask(t, e, `{"command":"`+command+`"}`); got != want {
			t.Error(got)
		}
	}
	if got := ask(t, e, `{"command":"getGroup","groupname":"g"}`); strings.Contains(got, `"r"`) || strings.Contains(got, "lamp") {
		t.Error("deleted ones are still members:", got)
	}
	for text, want := range map[string]string{"{": "Payload not valid JSON", `"x"`: "Invalid/missing commands", `{"commands":1}`: "Invalid/missing commands"} {
		if got := string(e.Control(t.Context(), &broker.Identity{}, []byte(text))); !strings.Contains(got, `{"command":"Unknown command","error":"`+want+`"}`) {
			t.Errorf("%s: %s", text, got)
		}
	}
}

const rights = `{"defaultACLAccess":{"publishClientSend":false,"publishClientReceive":true,"subscribe":false,"unsubscribe":true},"anonymousGroup":"anon",
"clients":[{"username":"u","roles":[{"rolename":"low","priority":1},{"rolename":"high","priority":2}]},{"username":"plain","roles":[]}],
"groups":[{"groupname":"second","roles":[{"rolename":"g2"}],"clients":[{"username":"u","priority":1}]},{"groupname":"first","roles":[{"rolename":"g1"}],"clients":[{"username":"u","priority":5}]},
 {"groupname":"anon","roles":[{"rolename":"low"}]}],
"roles":[
{"rolename":"low","acls":[{"acltype":"publishClientSend","topic":"a/#","allow":true},{"acltype":"publishClientSend","topic":"a/deny","priority":3,"allow":false},{"acltype":"subscribePattern","topic":"s/+/x","allow":true},
 {"acltype":"publishClientSend","topic":"own/%u/%c","allow":true},{"acltype":"publishClientSend","topic":"own/%u/not","allow":false},{"acltype":"subscribeLiteral","topic":"l/#","allow":true}]},
{"rolename":"high","acls":[{"acltype":"publishClientSend","topic":"a/high","allow":false},{"acltype":"publishClientReceive","topic":"secret/#","allow":false},{"acltype":"unsubscribeLiteral","topic":"stay","allow":false}]},
{"rolename":"g1","allowwildcardsubs":false,"acls":[{"acltype":"publishClientSend","topic":"g/#","allow":false}]},
{"rolename":"g2","acls":[{"acltype":"publishClientSend","topic":"g/#","allow":true},{"acltype":"publishClientSend","topic":"$CONTROL/x","allow":true},{"acltype":"subscribePattern","topic":"w/#","allow":true}]}]}`

// Roles by priority, then those of groups by priority; within a role the same; the first
// that matches decides, else the defaults.
func TestDecisions(t *testing.T) {
	e := open(t, "", rights)
	for _, x := range []struct {
		user, id string
		act      broker.Action
		name     string
		want     bool
	}{
		{"u", "c", broker.Publish, "a/x", true},
		{"u", "c", broker.Publish, "a/deny", false},
		{"u", "c", broker.Publish, "a/high", false},
		{"", "c", broker.Publish, "a/high", true},
		{"u", "c", broker.Publish, "g/x", false},
		{"u", "c", broker.Publish, "other", false},
		{"u", "c", broker.Publish, "own/u/c", true},
		{"u", "c", broker.Publish, "own/u/d", false},
		{"u", "a/b", broker.Publish, "own/u/a/b", false},
		{"", "c", broker.Publish, "own//c", false},
		{"", "#", broker.Publish, "own/x/not", false},
		{"u", "c", broker.Publish, "$CONTROL/x", true},
		{"plain", "c", broker.Publish, "a/x", false},
		{"nobody", "c", broker.Receive, "a/x", false},
		{"u", "c", broker.Receive, "a/x", true},
		{"u", "c", broker.Receive, "secret/x", false},
		{"", "c", broker.Receive, "secret/x", true},
		{"u", "c", broker.Receive, "$CONTROL/x/response", false},
		{"u", "c", broker.Subscribe, "s/1/x", true},
		{"u", "c", broker.Subscribe, "s/+/x", true},
		{"u", "c", broker.Subscribe, "s/#", false},
		{"u", "c", broker.Subscribe, "l/#", true},
		{"u", "c", broker.Subscribe, "l/1", false},
		{"u", "c", broker.Subscribe, "w/x", true},
		{"u", "c", broker.Subscribe, "w/#", false}, // g1 comes first
	} {
		id := &broker.Identity{User: x.user, ClientID: x.id}
		if d := e.Authorize(id, x.act, x.name); d.Allow != x.want {
			t.Errorf("%s of %q as %q: %s: %v, %s", x.act, x.user, x.id, x.name, d.Allow, d.Rule.Text)
		}
	}
	if got := e.Users(); len(got) != 2 || len(got["plain"]) != 0 || !slices.Contains(got["u"], "deny publishClientSend g/# (role g1)") {
		t.Errorf("%q", got)
	}
	if u := (&broker.Identity{User: "u"}); e.MayUnsubscribe(u, "stay") || !e.MayUnsubscribe(u, "go") || e.MayUnsubscribe(&broker.Identity{User: "nobody"}, "go") {
		t.Error("UNSUBSCRIBE")
	}
}

// A filter that a pattern allows matches nothing that the pattern does not.
func TestCovers(t *testing.T) {
	levels := []string{"a", "b", "+", "#", "$x"}
	var filters, names []string
	for _, x := range levels {
		for _, y := range append(levels, "") {
			for _, f := range []string{x, x + "/" + y, x + "/" + y + "/a"} {
				if topic.ValidFilter(f) == nil {
					filters = append(filters, f)
				}
				if topic.ValidName(f) == nil {
					names = append(names, f)
				}
			}
		}
	}
	for _, p := range filters {
		e := open(t, "", fmt.Sprintf(`{"clients":[{"username":"u","roles":[{"rolename":"r"}]}],"roles":[{"rolename":"r","acls":[{"acltype":"subscribePattern","topic":%q,"allow":true}]}]}`, p))
		for _, f := range filters {
			if !e.Authorize(&broker.Identity{User: "u", ClientID: "c"}, broker.Subscribe, f).Allow {
				if p == f {
					t.Errorf("%s does not cover itself", p)
				}
				continue
			}
			for _, n := range names {
				if topic.Match(f, n) && !topic.Match(p, n) {
					t.Errorf("%s is taken for part of %s, and matches %s", f, p, n)
				}
			}
		}
	}
}

func login(t *testing.T, e *dynsec.Engine, user, password, id string) broker.Reason {
	t.Helper()
	who, err := e.Authenticate(t.Context(), &broker.Credentials{ClientID: id, HasUser: true, User: user, HasPassword: true, Password: []byte(password), Remote: netip.MustParseAddrPort("192.0.2.1:1")})
	if r, ok := errors.AsType[*broker.Refusal](err); ok {
		return r.Reason
	}
	if err != nil || who.User != user || who.ClientID != id {
		t.Fatalf("%+v %v", who, err)
	}
	if stands, why := e.Review(who); !stands {
		t.Fatal(why)
	}
	return ""
}

// Who gets in, and who no longer stands after a change.
func TestLogins(t *testing.T) {
	e := open(t, "", small)
	if got := login(t, e, "admin", "password", "x"); got != "" {
		t.Error(got)
	}
	ask(t, e, `{"command":"createClient","username":"lamp","password":"shine","clientid":"only"},{"command":"createClient","username":"mute"}`)
	if got := login(t, e, "lamp", "shine", "only"); got != "" {
		t.Error(got)
	}
	if got := login(t, e, "lamp", "shine", "other"); got != broker.BadClientID {
		t.Error(got)
	}
	for _, x := range [][2]string{{"lamp", "dim"}, {"mute", ""}, {"mute", "x"}, {"none", "shine"}, {"", "shine"}} {
		if login(t, e, x[0], x[1], "only") == "" {
			t.Errorf("%q gets in", x)
		}
	}
	id, err := e.Authenticate(t.Context(), &broker.Credentials{ClientID: "only", HasUser: true, User: "lamp", HasPassword: true, Password: []byte("shine")})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, e, `{"command":"setClientPassword","username":"lamp","password":"brighter"}`)
	if stands, _ := e.Review(id); stands {
		t.Error("stands with an old password")
	}
	if login(t, e, "lamp", "shine", "only") == "" || login(t, e, "lamp", "brighter", "only") != "" {
		t.Error("the password is not the new one")
	}
	ask(t, e, `{"command":"disableClient","username":"lamp"}`)
	if got := login(t, e, "lamp", "brighter", "only"); got != broker.UserDisabled {
		t.Error(got)
	}
	ask(t, e, `{"command":"deleteClient","username":"lamp"}`)
	if stands, why := e.Review(id); stands || why != broker.UnknownUser {
		t.Error(why)
	}
}

// Those whose rights change are told of, after the answer.
func TestAffected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, "", rights)
		var mu sync.Mutex
		var got []string
		e.Changed = func(affected func(string) bool) {
			mu.Lock()
			defer mu.Unlock()
			for _, u := range []string{"", "plain", "u"} {
				if affected(u) {
					got = append(got, "<"+u+">")
				}
			}
		}
		for commands, want := range map[string]string{
			`{"command":"addRoleACL","rolename":"low","acltype":"publishClientSend","topic":"n","allow":true}`: "<> <u>",
			`{"command":"addRoleACL","rolename":"g1","acltype":"publishClientSend","topic":"n","allow":true}`:  "<u>",
			`{"command":"setClientPassword","username":"plain","password":"x"}`:                                "<plain>",
			`{"command":"enableClient","username":"plain"}`:                                                    "",
			`{"command":"listClients"}`: "",
		} {
			ask(t, e, commands)
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
			synctest.Wait()
			mu.Lock()
			if s := strings.Join(got, " "); s != want {
				t.Errorf("%s: %q, want %q", commands, s, want)
			}
			got = nil
			mu.Unlock()
		}
	})
}

// A new file begins with an administrator.
func TestBegin(t *testing.T) {
	dir := t.TempDir()
	init := filepath.Join(dir, "init")
	if err := os.WriteFile(init, []byte("from-a-file \r\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := func(name string, o dynsec.Options) (*dynsec.Engine, error) {
		o.File, o.Log = filepath.Join(dir, name), slog.New(slog.DiscardHandler)
		return dynsec.Open(context.Background(), o)
	}
	for name, o := range map[string]dynsec.Options{
		"file": {InitFile: init, Password: "from-the-environment", HasPassword: true}, "env": {Password: "from-a-file!", HasPassword: true}, "random": {},
	} {
		e, err := begin(name, o)
		if err != nil {
			t.Fatal(err)
		}
		password := map[string]string{"file": "from-a-file", "env": "from-a-file!"}[name]
		if made, err := os.ReadFile(filepath.Join(dir, name+".pw")); (err == nil) != (name == "random") {
			t.Error(name, err)
		} else if err == nil {
			words := strings.Fields(string(made))
			password = words[1]
			if login(t, e, words[2], words[3], "x") != "" || e.Authorize(&broker.Identity{User: words[2]}, broker.Publish, "$CONTROL/x").Allow {
				t.Error("the client to try with")
			}
		}
		if got := login(t, e, "admin", password, "x"); got != "" {
			t.Errorf("%s: %s", name, got)
		}
		if !e.Authorize(&broker.Identity{User: "admin"}, broker.Publish, dynsec.Endpoint).Allow {
			t.Error("the administrator may not ask")
		}
	}
	for name, o := range map[string]dynsec.Options{"short": {Password: "elevenbytes", HasPassword: true}, "none": {InitFile: filepath.Join(dir, "nothing")}, "empty": {InitFile: os.DevNull}} {
		if _, err := begin(name, o); err == nil {
			t.Errorf("%s: made", name)
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s: there is a file", name)
		}
	}
}

// Whatever a file and a request hold: an answer that is JSON, and a file that is read again.
func FuzzEngine(f *testing.F) {
	f.Add(small, `{"commands":[{"command":"createClient","username":"x","roles":[{"rolename":"admin"}]}]}`)
	f.Add(rights, `{"commands":[{"command":"modifyGroup","groupname":"first","clients":[{"username":"plain","priority":1e300}]}]}`)
	f.Fuzz(func(t *testing.T, text, request string) {
		file := filepath.Join(t.TempDir(), "d.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := dynsec.Options{File: file, Log: slog.New(slog.DiscardHandler)}
		e, err := dynsec.Open(t.Context(), o)
		if err != nil {
			return
		}
		if answer := e.Control(t.Context(), &broker.Identity{User: "u"}, []byte(request)); !json.Valid(answer) {
			t.Fatalf("%s", answer)
		}
		e.Authorize(&broker.Identity{User: "u", ClientID: "c"}, broker.Publish, "a/b")
		if _, err := dynsec.Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	})
}
