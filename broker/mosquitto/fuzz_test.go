package mosquitto_test

import (
	"bytes"
	"strings"
	"testing"

	"hearthmq/broker/access"
	"hearthmq/broker/mosquitto"
)

func FuzzDB(f *testing.F) {
	for v := uint32(2); v <= 6; v++ {
		f.Add(writeDatabase(v, example(v)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		db, found := mosquitto.ReadDatabase("db", bytes.NewReader(b))
		if (db == nil) != (mosquitto.Worst(found) == mosquitto.Broken) {
			t.Fatalf("%v with %v", db, found)
		}
		if db == nil {
			return
		}
		st, _ := db.State(now, true)
		for _, m := range st.Retained {
			if m.Topic == "" || strings.ContainsAny(m.Topic, "+#\x00") || len(m.Payload) == 0 {
				t.Fatalf("retained message of topic %q", m.Topic)
			}
		}
	})
}

func FuzzPasswords(f *testing.F) {
	f.Add("anna:" + someHash + "\n")
	f.Add("# x\n\nanna\nanna:\n:x\na:b:c\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		list, _ := mosquitto.ReadPasswords("p", strings.NewReader(s))
		seen := map[string]bool{}
		for _, p := range list {
			if _, err := access.ParseHash(p.Hash); err != nil || access.ValidName(p.User) != "" || seen[p.User] || p.Line < 1 {
				t.Fatalf("user %q, line %d: %v", p.User, p.Line, err)
			}
			seen[p.User] = true
		}
	})
}

func FuzzACL(f *testing.F) {
	f.Add("topic read a\nuser anna\ntopic deny b/#\npattern write %u/%c\n")
	f.Add("pattern deny #\npattern +/%u\nuser u\ntopic a/+/#\ntopic %u")
	f.Fuzz(func(t *testing.T, s string) {
		acl, found := mosquitto.ReadACL("a", strings.NewReader(s))
		if mosquitto.Worst(found) == mosquitto.Broken || len(s) > 400 {
			return
		}
		names := []string{"u", "a/b"}
		for _, u := range acl.Users {
			names = append(names, u.Name)
		}
		rights := mosquitto.NewACLRights(acl)
		for _, name := range names {
			for _, r := range rights.Of(name).Rules {
				if err := r.Validate(); err != nil {
					t.Fatalf("%q: rule %s of %q: %v", s, r, name, err)
				}
			}
		}
		rights.Anonymous()
	})
}

func FuzzDynsec(f *testing.F) {
	f.Add(dynsecExample)
	f.Add(`{"clients":[{"username":"a","password":"x","salt":"y","iterations":101}],"roles":null}`)
	f.Fuzz(func(t *testing.T, s string) {
		d, found := mosquitto.ReadDynsec("d", strings.NewReader(s))
		if (d == nil) && mosquitto.Worst(found) != mosquitto.Broken {
			t.Fatalf("nothing, and nothing broken: %v", found)
		}
		if d == nil || len(s) > 4000 {
			return
		}
		rights := mosquitto.NewDynsecRights(d)
		for i := range d.Clients {
			for _, r := range rights.Of(&d.Clients[i]).Rules {
				if err := r.Validate(); err != nil {
					t.Fatalf("rule %s: %v", r, err)
				}
			}
		}
		rights.Anonymous()
	})
}

func FuzzConf(f *testing.F) {
	f.Add(guide)
	f.Add("include_dir /conf.d\nlistener 0 /tmp/x\nconnection a\naddress b\ntopic \"a b\" both 1 \"\" x/\n")
	f.Add("per_listener_settings true\nport 1\nplugin x\nplugin_opt_a b\nlistener 1 ::\nprotocol websockets\n")
	f.Fuzz(func(t *testing.T, s string) {
		conf, _ := mosquitto.ReadConf(mosquitto.Uploaded{"/m.conf": []byte(s), "/conf.d/a.conf": []byte(s)}, "/m.conf")
		if len(conf.Listeners) == 0 {
			t.Fatal("no listener")
		}
		for i := range conf.Listeners {
			conf.SecurityOf(&conf.Listeners[i])
		}
		conf.UsedFiles()
	})
}

func FuzzOptions(f *testing.F) {
	f.Add(optionsYAML)
	f.Add(`{"logins":[{"username":"a","password":"b"}]}`)
	f.Fuzz(func(t *testing.T, s string) {
		o, found := mosquitto.ReadOptions("o", strings.NewReader(s))
		if (o == nil) != (mosquitto.Worst(found) == mosquitto.Broken) {
			t.Fatalf("%v with %v", o, found)
		}
		if o == nil {
			return
		}
		for _, l := range o.Logins {
			if l.Password == "" || access.ValidName(l.Username) != "" {
				t.Fatalf("login %q", l.Username)
			}
		}
	})
}
