package control_test

import (
	"context"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/control"
)

const endpoint = "$CONTROL/dynamic-security/v1"

type site struct {
	*control.Handler
	admin *broker.Identity
}

func newSite(t *testing.T) *site {
	t.Helper()
	d := access.NewDirectory(access.Policy{Hashing: access.Hashing{Cost: access.Cost{Time: 1, MemoryKiB: 64, Threads: 1}}})
	a := access.NewAccounts(access.NewMemoryRepository(), d, nil, nil)
	if err := a.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []access.NewUser{{Name: "owner", Password: "owner's own", Admin: true}, {Name: "lamp", Password: "shine on"}} {
		if _, _, err := a.CreateUser(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	u, _ := d.User("owner")
	return &site{&control.Handler{Accounts: a, Directory: d}, &broker.Identity{User: "owner", Version: u.Version}}
}

func (s *site) ask(t *testing.T, commands string) string {
	t.Helper()
	b, ok := s.Control(context.Background(), s.admin, endpoint, []byte(`{"commands":[`+commands+`]}`))
	if !ok {
		t.Fatal("not allowed")
	}
	return string(b)
}

func TestCommands(t *testing.T) {
	s := newSite(t)
	for _, x := range [][2]string{
		{`{"command":"createRole","rolename":"r","textname":"R","acls":[{"acltype":"publishClientSend","topic":"a/#","allow":true},{"acltype":"unsubscribePattern","topic":"#","allow":true}]}`, `{"responses":[{"command":"createRole"}]}`},
		{`{"command":"createClient","username":"u","password":"word","textname":"N","textdescription":"D","roles":[{"rolename":"r"}],"correlationData":"7"}`, `{"responses":[{"command":"createClient","correlationData":"7"}]}`},
		{`{"command":"getClient","username":"u"}`, `"data":{"client":{"username":"u","textname":"N","textdescription":"D","roles":[{"rolename":"r"}],"groups":[]}}`},
		{`{"command":"modifyClient","username":"u","textname":"M","roles":[]}`, `{"command":"modifyClient"}`},
		{`{"command":"getClient","username":"u"}`, `"textname":"M","textdescription":"D","roles":[]`},
		{`{"command":"listClients","count":1,"offset":3}`, `"data":{"clients":["owner"],"totalCount":5}`},
		{`{"command":"listClients","verbose":true,"count":1,"offset":4}`, `"clients":[{"username":"u"`},
		{`{"command":"listRoles","count":100,"offset":100}`, `"roles":[]`},
		{`{"command":"addRoleACL","rolename":"r","acltype":"subscribePattern","topic":"a/#","allow":true}`, `{"command":"addRoleACL"}`},
		{`{"command":"addRoleACL","rolename":"r","acltype":"subscribePattern","topic":"a/#","allow":true}`, "already exists"},
		{`{"command":"addRoleACL","rolename":"r","acltype":"subscribeLiteral","topic":"b/#","allow":true}`, "use subscribePattern"},
		{`{"command":"addRoleACL","rolename":"r","acltype":"unsubscribeLiteral","topic":"b","allow":false}`, "from unsubscribing"},
		{`{"command":"addRoleACL","rolename":"r","acltype":"other","topic":"b","allow":false}`, "Invalid acltype"},
		{`{"command":"addRoleACL","rolename":"r","acltype":"publishClientSend","topic":"b/#/c","allow":false}`, "Invalid topic"},
		{`{"command":"getRole","rolename":"r"}`, `"acls":[{"acltype":"publishClientSend","topic":"a/#","priority":0,"allow":true},{"acltype":"subscribePattern","topic":"a/#","priority":0,"allow":true}]`},
		{`{"command":"removeRoleACL","rolename":"r","acltype":"publishClientSend","topic":"a/#"}`, `{"command":"removeRoleACL"}`},
		{`{"command":"removeRoleACL","rolename":"r","acltype":"publishClientSend","topic":"a/#"}`, "ACL not found"},
		{`{"command":"modifyRole","rolename":"r","allowwildcardsubs":false}`, "no switch for subscriptions with wildcards"},
		{`{"command":"addClientRole","username":"u","rolename":"r","priority":5}`, "no priorities"},
		{`{"command":"addClientRole","username":"u","rolename":"r","priority":-1}`, `{"command":"addClientRole"}`},
		{`{"command":"removeClientRole","username":"u","rolename":"r"}`, `{"command":"removeClientRole"}`},
		{`{"command":"setClientId","username":"u","clientid":"x"}`, "binds no user"},
		{`{"command":"addGroupRole","groupname":"g","rolename":"r"}`, "no groups"},
		{`{"command":"createClient","username":"a/+","password":"x"}`, "wildcards"},
		{`{"command":"createClient","username":"g","password":"x","groups":[{"groupname":"g"}]}`, "no groups"},
		{`{"command":"setDefaultACLAccess","acls":[{"acltype":"subscribe","allow":true}]}`, "can't be changed"},
		{`{"command":"setDefaultACLAccess","acls":[{"acltype":"unsubscribe","allow":true},{"acltype":"subscribe","allow":false}]}`, `{"command":"setDefaultACLAccess"}`},
		{`{"command":"deleteClient","username":"addons"}`, "system user"},
		{`{"command":"deleteRole","rolename":"everything"}`, "built"},
		{`{"command":"nonsense"}`, "Unknown command"},
		{`{"command":"deleteRole","rolename":"r"},{"command":"deleteClient","username":"u"}`, `{"responses":[{"command":"deleteRole"},{"command":"deleteClient"}]}`},
	} {
		if got := s.ask(t, x[0]); !strings.Contains(got, x[1]) {
			t.Errorf("%s\n  %s\n  want %s", x[0], got, x[1])
		}
	}
	log, _, err := s.Accounts.Audit(t.Context(), access.AuditQuery{Limit: 100})
	if err != nil || len(log) < 10 || !strings.Contains(log[0].Actor, "owner") {
		t.Errorf("audit: %v %v", log, err)
	}
	for _, bad := range []string{"", "{", `{"commands":{}}`, `{"commands":null}`, `[]`, "\x00"} {
		if b, ok := s.Control(t.Context(), s.admin, endpoint, []byte(bad)); !ok || !strings.Contains(string(b), "not valid JSON") {
			t.Errorf("%q: %s", bad, b)
		}
	}
	if b, ok := s.Control(t.Context(), s.admin, "$CONTROL/broker/v1", nil); !ok || string(b) != `{"error":"endpoint not available"}` {
		t.Errorf("%s", b)
	}
}

// Nobody but users of the admin controls anything; a namesake from elsewhere does not.
func TestRight(t *testing.T) {
	s := newSite(t)
	lamp, _ := s.Directory.User("lamp")
	for name, id := range map[string]*broker.Identity{
		"no admin": {User: "lamp", Version: lamp.Version}, "anonymous": {}, "unknown": {User: "nobody", Version: 1},
		"namesake of a file": {User: "owner", Version: 1 << 60}, "namesake from elsewhere": {User: "owner", Roles: []string{"everything"}},
		"system user": {User: "addons", Version: 1, System: true},
	} {
		if _, ok := s.Control(t.Context(), id, endpoint, []byte(`{"commands":[{"command":"listClients"}]}`)); ok {
			t.Errorf("%s: allowed", name)
		}
	}
	off := true
	if _, _, err := s.Accounts.CreateUser(t.Context(), access.NewUser{Name: "second", Password: "second owner", Admin: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Accounts.ChangeUser(t.Context(), "owner", access.UserChange{Disabled: &off}); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Control(t.Context(), s.admin, endpoint, nil); ok {
		t.Error("a disabled administrator is allowed")
	}
}
