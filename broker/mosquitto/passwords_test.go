package mosquitto_test

import (
	"fmt"
	"strings"
	"testing"

	"hearthmq/broker/access"
	"hearthmq/broker/mosquitto"
)

const vectors = `# users
roger:$6$clQ4Ocu312S0qWgl$Cv2wUxgEN73c6C6jlBkswqR4AkHsvDLWvtEXZZ8NpsBLgP1WAo/qA+WXcmEN/mjDNgdUwcxRAveqNMs2xUVQYA==
 new : $7$101$cXJ0eXVpb3Bhc2Q=$h0tqVxBwkB9rKAXukTtffzdbBQtNy1q5FBTDwSW4hucfjpqunBbxW10NVnRk7Cfh0lQndnOv2+k4wJavgz1JNw==
latest:$argon2id$v=19$m=47104,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$c3Vtc3Vtc3Vtc3Vtc3Vtc3Vtc3Vtc3Vt
app:PBKDF2$sha512$100000$c2FsdHNhbHRzYWx0c2FsdA==$h0tqVxBwkB9rKAXukTtffzdbBQtNy1q5FBTDwSW4hucfjpqunBbxW10NVnRk7Cfh0lQndnOv2+k4wJavgz1JNw==

nocolon
clear:secret
empty:
roger:$6$clQ4Ocu312S0qWgl$Cv2wUxgEN73c6C6jlBkswqR4AkHsvDLWvtEXZZ8NpsBLgP1WAo/qA+WXcmEN/mjDNgdUwcxRAveqNMs2xUVQYA==
wild+card:$7$101$cXJ0eXVpb3Bhc2Q=$h0tqVxBwkB9rKAXukTtffzdbBQtNy1q5FBTDwSW4hucfjpqunBbxW10NVnRk7Cfh0lQndnOv2+k4wJavgz1JNw==
cut:$7$101$cXJ0eXVpb3Bhc2Q=$h0tqVxBwkB9r
:x
`

func TestPasswords(t *testing.T) { // case A14
	list, found := mosquitto.ReadPasswords("pw", strings.NewReader(strings.ReplaceAll(vectors, "\n", "\r\n")+strings.Repeat("x", 1<<20)))
	var users []string
	for _, p := range list {
		users = append(users, p.User)
	}
	if got := strings.Join(users, " "); got != "roger new latest app" {
		t.Errorf("users %s", got)
	}
	h, err := access.ParseHash(list[0].Hash)
	if err != nil || !h.Matches([]byte("password")) {
		t.Errorf("roger's password: %v", err)
	}
	var lines []string
	for _, n := range found {
		if n.Level != mosquitto.Left {
			t.Errorf("%v: %v", n, n.Level)
		}
		lines = append(lines, fmt.Sprint(n.Line))
	}
	if got := strings.Join(lines, " "); got != "7 8 9 10 11 12 13 14" {
		t.Errorf("lines %s: %v", got, found)
	}
	if all := fmt.Sprint(found); strings.Contains(all, "secret") || !strings.Contains(all, "mosquitto_passwd -U") || !strings.Contains(all, "64 KiB") {
		t.Error(all)
	}
}

func TestACLGrammar(t *testing.T) {
	acl, found := mosquitto.ReadACL("acl", strings.NewReader("# c\n\ntopic read $SYS/#\nuser anna b  \r\ntopic readwrite living room/#\ntopic deny x\ntopic y\npattern write %u/#\nuser bert\nuser anna b\ntopic write z\n"))
	if len(found) > 0 {
		t.Fatal(found)
	}
	if got := fmt.Sprint(acl.Anonymous, acl.Users, acl.Patterns); got !=
		"[{1 $SYS/# 3}] [{anna b 4 [{3 living room/# 5} {0 x 6} {3 y 7} {2 z 11}]} {bert 9 []}] [{2 %u/# 8}]" {
		t.Error(got)
	}
	for text, want := range map[string]string{
		"user":             "acl:1: user: the user's name",
		"topic":            "topic is missing",
		"topic reed a":     "not a kind of access",
		"topic read a/#/b": "acl:1: topic: \"a/#/b\"",
		" # comment":       "not a keyword",
		"user\tanna":       "a tab does not separate",
		"Topic a":          "not a keyword",
		"topic read " + strings.Repeat("a", 70000): "64 KiB",
		"topic a\x00b": "NUL",
	} {
		if _, found := mosquitto.ReadACL("acl", strings.NewReader(text)); mosquitto.Worst(found) != mosquitto.Broken || !strings.Contains(fmt.Sprint(found), want) {
			t.Errorf("%.20q: %v, want %q", text, found, want)
		}
	}
}

// Where a deny would have to lose, a notice names the lines.
func TestACLNarrower(t *testing.T) {
	acl, _ := mosquitto.ReadACL("acl", strings.NewReader("user u\ntopic read a/x\npattern deny a/#\npattern read #\n"))
	rights := mosquitto.NewACLRights(acl)
	if r := rights.Of("u"); !r.Narrower || len(r.Roles) != 0 {
		t.Errorf("%+v", r)
	}
	if all := fmt.Sprint(rights.Notices()); !strings.Contains(all, "acl:2: topic: for user \"u\" this line wins over the pattern in line 3") {
		t.Error(all)
	}
	// The same without anything that the pattern takes from: it makes no difference.
	acl, _ = mosquitto.ReadACL("acl", strings.NewReader("user u\ntopic read a/x\npattern deny a/#\npattern read b\n"))
	if r := mosquitto.NewACLRights(acl).Of("u"); r.Narrower {
		t.Errorf("%+v", r)
	}
}
