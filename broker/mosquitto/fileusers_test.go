package mosquitto_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hearthmq/broker/mosquitto"
)

// Who is in the files is shown with file and line, and with the rules in their order.
func TestFileUsers(t *testing.T) {
	acl := "topic read everybody\nuser alice\ntopic a/#\ntopic deny a/b\npattern write of/%u\n"
	s := setup(t, "per_listener_settings true\nlistener 1\npassword_file /pw\nacl_file /acl\nlistener 2\npassword_file /pw\nacl_file /acl\nlistener 3\npassword_file /pw\nlistener 4\nallow_anonymous true\n",
		mosquitto.Uploaded{"/pw": []byte("# users\n" + aliceAndBob), "/acl": []byte(acl)})
	pattern := "/acl:5: pattern write of/%u"
	want := []mosquitto.FileUser{
		{Name: "alice", Place: "/pw:2", Listeners: []string{"1", "2"}, Rules: []string{"/acl:4: topic deny a/b", "/acl:3: topic readwrite a/#", pattern}},
		{Name: "alice", Place: "/pw:2", Listeners: []string{"3"}, NoRules: true},
		{Name: "bob", Place: "/pw:3", Listeners: []string{"1", "2"}, Rules: []string{pattern}},
		{Name: "bob", Place: "/pw:3", Listeners: []string{"3"}, NoRules: true},
	}
	if diff := cmp.Diff(want, mosquitto.NewGuard(s, nil).Users()); diff != "" {
		t.Error(diff)
	}
}
