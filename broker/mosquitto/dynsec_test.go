package mosquitto_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/mosquitto"
)

// dynsecExample has a client of each version, a group, and an order that matters.
const dynsecExample = `{
  "changeIndex": 12,
  "defaultACLAccess": {"publishClientSend":false,"publishClientReceive":true,"subscribe":false,"unsubscribe":true},
  "clients": [
    {"username":"old","password":"h0tqVxBwkB9rKAXukTtffzdbBQtNy1q5FBTDwSW4hucfjpqunBbxW10NVnRk7Cfh0lQndnOv2+k4wJavgz1JNw==","salt":"cXJ0eXVpb3Bhc2Q=","iterations":101,
     "roles":[{"rolename":"sensor"}]},
    {"username":"new","encoded_password":"$7$101$cXJ0eXVpb3Bhc2Q=$h0tqVxBwkB9rKAXukTtffzdbBQtNy1q5FBTDwSW4hucfjpqunBbxW10NVnRk7Cfh0lQndnOv2+k4wJavgz1JNw==",
     "clientid":"one","disabled":true,"textname":"New","roles":[]},
    {"username":"nopass"},
    {"username":"old"}
  ],
  "groups": [{"groupname":"g","roles":[{"rolename":"viewer","priority":3}],"clients":[{"username":"new"}]}],
  "roles": [
    {"rolename":"sensor","acls":[
      {"acltype":"publishClientSend","topic":"sensors/%u/#","priority":0,"allow":true},
      {"acltype":"publishClientSend","topic":"sensors/%u/secret","priority":5,"allow":false},
      {"acltype":"subscribePattern","topic":"config/%c","priority":0,"allow":true}]},
    {"rolename":"viewer","textdescription":"may look","acls":[
      {"acltype":"subscribepattern","topic":"#","priority":0,"allow":true},
      {"acltype":"publishClientReceive","topic":"private/#","priority":0,"allow":false}]}
  ],
  "anonymousGroup": "g"
}`

func TestDynsec(t *testing.T) {
	d, found := mosquitto.ReadDynsec("d.json", strings.NewReader(dynsecExample))
	if mosquitto.Worst(found) == mosquitto.Broken || len(d.Clients) != 3 || d.Clients[1].Line != 7 {
		t.Fatalf("%+v, %v", d, found)
	}
	rights := mosquitto.NewDynsecRights(d)
	users := map[string]mosquitto.Rights{}
	for i := range d.Clients {
		users[d.Clients[i].Username] = rights.Of(&d.Clients[i])
	}
	if got := fmt.Sprint(users["old"], users["new"]); got != "{[sensor] [] false} {[viewer] [] false}" {
		t.Errorf("rights %s, %v", got, rights.Notices())
	}
	dir := directory(t, rights.Roles(), rights.Anonymous(), users)
	for q, want := range map[string]bool{
		"old publish sensors/old/temp": true, "old publish sensors/old/secret": false, "old publish sensors/new/x": false,
		"old receive config/c": true, "old receive config/d": false,
		"new receive a/b": true, "new receive private/x": false, "new publish a": false, " receive a": true, " receive private/x": false,
	} {
		w := strings.Split(q, " ")
		action := broker.Publish
		if w[1] == "receive" {
			action = broker.Receive
		}
		if got := dir.Check(access.Question{User: w[0], ClientID: "c", Action: action, Name: w[2]}).Allow; got != want {
			t.Errorf("%s: %v", q, got)
		}
	}
}

// oracleDynsec answers as the plugin does, for one kind of ACL.
func oracleDynsec(d *mosquitto.Dynsec, roles []string, kind, user, client, name string, byDefault bool) bool {
	for _, rn := range roles {
		for _, r := range d.Roles {
			if r.Name != rn {
				continue
			}
			for _, a := range r.ACLs {
				filter := strings.NewReplacer("%u", user, "%c", client).Replace(a.Topic)
				if a.Type == kind && oracleMatch(filter, name) {
					return a.Allow
				}
			}
		}
	}
	return byDefault
}

// Random roles in random order: nobody may do more than the plugin allows, and less
// only with a notice.
func TestDynsecSameEffect(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 40
	}
	r := rand.New(rand.NewPCG(3, 4))
	topics := names([]string{"a", "b", "u", "c"}, 2)
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	narrower := 0
	for range rounds {
		d := map[string]any{"defaultACLAccess": map[string]bool{
			"publishClientSend": r.IntN(4) == 0, "publishClientReceive": r.IntN(3) > 0, "subscribe": r.IntN(4) == 0,
		}}
		var roles []any
		for i := range 3 {
			var acls []any
			for range r.IntN(4) {
				filter := pick("a", "b", "+", "%u", "%c", "#")
				if r.IntN(2) == 0 {
					filter = pick("a", "b", "+", "%u") + "/" + pick("a", "b", "+", "%c", "#")
				}
				acls = append(acls, map[string]any{
					"acltype": pick("publishClientSend", "publishClientReceive", "subscribePattern"),
					"topic":   filter, "priority": r.IntN(3), "allow": r.IntN(3) > 0,
				})
			}
			roles = append(roles, map[string]any{"rolename": fmt.Sprint("r", i), "acls": acls})
		}
		d["roles"] = roles
		first, second := r.IntN(3), r.IntN(3)
		d["clients"] = []any{map[string]any{
			"username": "u", "encoded_password": someHash,
			"roles": []any{map[string]any{"rolename": fmt.Sprint("r", first), "priority": 2}, map[string]any{"rolename": fmt.Sprint("r", second), "priority": 1}},
		}}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		ds, found := mosquitto.ReadDynsec("d", strings.NewReader(string(text)))
		if mosquitto.Worst(found) == mosquitto.Broken {
			t.Fatal(found)
		}
		rights := mosquitto.NewDynsecRights(ds)
		mine := rights.Of(&ds.Clients[0])
		dir := directory(t, rights.Roles(), nil, map[string]mosquitto.Rights{"u": mine})
		order := slices.Compact([]string{fmt.Sprint("r", first), fmt.Sprint("r", second)})
		for _, name := range topics {
			for _, action := range []broker.Action{broker.Publish, broker.Receive} {
				ask := func(kind string, byDefault bool) bool {
					return oracleDynsec(ds, order, kind, "u", "c", name, byDefault)
				}
				want := ask("publishClientSend", ds.Defaults.PublishClientSend)
				if action == broker.Receive {
					want = ask("publishClientReceive", ds.Defaults.PublishClientReceive) && ask("subscribePattern", ds.Defaults.Subscribe)
				}
				got := dir.Check(access.Question{User: "u", ClientID: "c", Action: action, Name: name}).Allow
				if got && !want || want && !got && !mine.Narrower {
					t.Fatalf("%s\n%s %s: %v, with Mosquitto %v; %+v %v", text, action, name, got, want, mine, rights.Roles())
				}
			}
		}
		if mine.Narrower {
			narrower++
		}
	}
	t.Logf("%d of %d users may do less and were told so", narrower, rounds)
}

func TestDynsecBroken(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "breaks off",
		"[]":                           "expected",
		dynsecExample[:700]:            "breaks off",
		`{"clients":[{"username":1}]}`: "does not belong here",
		`{"roles":[{"rolename":"r","acls":[{"acltype":"x","topic":"a"}]}]}`:                                         "not a kind of ACL",
		"{\n\"roles\":[\n{\"rolename\":\"r\",\"acls\":[{\"acltype\":\"publishClientSend\",\"topic\":\"a/#/b\"}]}]}": "d:3: publishClientSend",
	} {
		_, found := mosquitto.ReadDynsec("d", strings.NewReader(text))
		if mosquitto.Worst(found) != mosquitto.Broken || !strings.Contains(fmt.Sprint(found), want) {
			t.Errorf("%.30q: %v, want %q", text, found, want)
		}
	}
}
