package web

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
)

// send posts files, by name, and pasted options.
func (b *browser) send(files map[string][]byte, options string) answer {
	b.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, data := range files {
		p, err := w.CreateFormFile("files", name)
		if err == nil {
			_, err = p.Write(data)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	if err := w.WriteField("options", options); err != nil {
		b.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.t.Fatal(err)
	}
	req := b.request(http.MethodPost, "/import", &body)
	req.Header.Set("Content-Type", w.FormDataContentType())
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(req)
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// importNow says yes to a dry run.
func (b *browser) importNow(dry answer) answer {
	b.t.Helper()
	m := tokenField.FindStringSubmatch(dry.body)
	if m == nil {
		b.t.Fatalf("nothing to import:\n%s", text(dry.body))
	}
	return b.post("/import/apply", url.Values{"token": {m[1]}})
}

// chunks begins a mosquitto.db of Mosquitto 2.0 and returns what writes its chunks.
func chunks(b *bytes.Buffer) func(kind uint32, body []byte) {
	b.WriteString("\x00\xb5\x00mosquitto db\x00\x00\x00\x00\x00\x00\x00\x06")
	chunk := func(kind uint32, body []byte) {
		var head [8]byte
		binary.BigEndian.PutUint32(head[:], kind)
		binary.BigEndian.PutUint32(head[4:], uint32(len(body)))
		b.Write(head[:])
		b.Write(body)
	}
	chunk(1, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x01\x08\x00\x00\x00\x00\x00\x00"))
	return chunk
}

// sessionDB is a mosquitto.db with one session, of the client "lamp" of the user
// "bedroom", in which n messages wait.
func sessionDB(n int) []byte {
	var b bytes.Buffer
	chunk := chunks(&b)
	be := binary.BigEndian
	for i := range n {
		m := binary.LittleEndian.AppendUint64(nil, uint64(i+1))
		m = append(m, 0, 0, 0, 0, 0, 0, 0, 0)
		m = be.AppendUint32(m, 2) // length of the payload
		for _, v := range []uint16{0, 3, 0, 8, 1883} {
			m = be.AppendUint16(m, v)
		}
		chunk(2, append(append(m, 1, 0), fmt.Sprintf("z2mlamp/setm%d", i)...))
	}
	c := append(make([]byte, 8), 0xFF, 0xFF, 0xFF, 0xFF, 0, 0) // never expires
	for _, v := range []uint16{4, 1883, 7, 0, 0} {
		c = be.AppendUint16(c, v)
	}
	chunk(6, append(c, "lampbedroom"...))
	for i := range n {
		m := binary.LittleEndian.AppendUint64(nil, uint64(i+1))
		m = append(m, 0, 0, 0, 4, 1, 11, 0, 1) // no identifier yet, QoS 1, queued, out
		chunk(3, append(m, "lamp"...))
	}
	chunk(5, append([]byte{0, 0, 0, 0, 0, 4, 0, 8, 1, 0, 0, 0}, "lamplamp/set"...))
	return b.Bytes()
}

// retainedDB is a mosquitto.db of Mosquitto 2.0 with n retained messages.
func retainedDB(n int) []byte {
	var b bytes.Buffer
	chunk := chunks(&b)
	for i := range n {
		topic, payload := fmt.Sprintf("zigbee2mqtt/device %d", i), fmt.Sprintf(`{"temperature":%d}`, i)
		m := binary.LittleEndian.AppendUint64(nil, uint64(i+1))
		m = append(m, 0, 0, 0, 0, 0, 0, 0, 0)
		m = binary.BigEndian.AppendUint32(m, uint32(len(payload)))
		for _, v := range []uint16{0, 3, 4, uint16(len(topic)), 1883} {
			m = binary.BigEndian.AppendUint16(m, v)
		}
		m = append(m, 1, 1) // QoS, retain
		chunk(2, append(m, "z2manna"+topic+payload...))
	}
	for i := range n {
		chunk(4, binary.LittleEndian.AppendUint64(nil, uint64(i+1)))
	}
	return b.Bytes()
}

func tarball(t *testing.T, packed bool, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.Writer = &b
	z := gzip.NewWriter(&b)
	if packed {
		w = z
	}
	tw := tar.NewWriter(w)
	for name, data := range files {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if packed {
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

const appOptions = `logins:
  - username: bedroom
    password: good night
  - username: garage
    password: PBKDF2$sha512$100000$os24lcPr9cJt2QDVWssblQ==$BK1BQ2wbwU1zNxv3Ml3wLuu5//hPop3/LvaPYjjCwdBvnpwusnukJPpcXQzyyjOlZdieXTx6sXAcX4WnZRZZnw==
    password_pre_hashed: true
require_certificate: false
certfile: fullchain.pem
keyfile: privkey.pem
customize:
  active: true
  folder: mosquitto
`

const appOptionsJSON = `{"logins":[{"username":"bedroom","password":"good night"},{"username":"garage","password":"PBKDF2$sha512$100000$os24lcPr9cJt2QDVWssblQ==$BK1BQ2wbwU1zNxv3Ml3wLuu5//hPop3/LvaPYjjCwdBvnpwusnukJPpcXQzyyjOlZdieXTx6sXAcX4WnZRZZnw==","password_pre_hashed":true}],"require_certificate":false,"customize":{"active":true,"folder":"mosquitto"}}`

const appACL = "user bedroom\ntopic readwrite zigbee2mqtt/#\nuser garage\ntopic read zigbee2mqtt/#\ntopic deny zigbee2mqtt/secret\n"

// homeBackup is a backup of a home with the official app, an ACL in its customize
// folder and n retained messages.
func homeBackup(t *testing.T, n int) []byte {
	t.Helper()
	return tarball(t, false, map[string][]byte{
		"./backup.json": []byte("{}"),
		"./core_mosquitto.tar.gz": tarball(t, true, map[string][]byte{
			"data/options.json": []byte(appOptionsJSON), "data/mosquitto.db": retainedDB(n),
			"data/system_user.json": []byte(`{"homeassistant":{"password":"topsecret"},"addons":{"password":"topsecret"}}`),
		}),
		"./share.tar.gz": tarball(t, true, map[string][]byte{
			"./mosquitto/acl.conf": []byte("acl_file /share/mosquitto/accesscontrollist\n"), "./mosquitto/accesscontrollist": []byte(appACL),
		}),
	})
}

// A home with the official app's options, an ACL in its customize folder and 5,000
// retained messages is moved by the page in under a minute.
func TestImportHome(t *testing.T) {
	for name, send := range map[string]func(b *browser) answer{
		"backup": func(b *browser) answer { return b.send(map[string][]byte{"Full backup.tar": homeBackup(t, 5000)}, "") },
		"files": func(b *browser) answer {
			return b.send(map[string][]byte{"accesscontrollist": []byte(appACL), "mosquitto.db": retainedDB(5000)}, appOptions)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nil)
			b := s.ingress()
			start := time.Now()
			machine := brokertest.WatchMachine()
			dry := send(b).is(t, http.StatusOK)
			dry.says(t, "Nothing was changed yet", "2 users with the password", "5000 retained messages", "Changes its meaning", "Stays behind")
			if strings.Contains(dry.body, "topsecret") || strings.Contains(dry.body, "good night") || strings.Contains(dry.body, "PBKDF2") {
				t.Error("a password shows")
			}
			if _, ok := s.dir.User("bedroom"); ok {
				t.Fatal("a dry run makes users")
			}
			done := b.importNow(dry).is(t, http.StatusOK)
			done.says(t, "Imported: 2 users", "5000 retained messages", "What to check next", "Stop Mosquitto before HearthMQ takes over")
			took := time.Since(start)
			if t.Logf("moved in %v", took); took > time.Minute {
				machine.Timing(t, "moved in %v", took)
			}
			n := 0
			for m := range s.broker.Retained("zigbee2mqtt/+") {
				if n++; m.PublisherID != "z2m" || m.PublisherUser != "anna" || m.QoS != 1 {
					t.Fatalf("%+v", m)
				}
			}
			if n != 5000 {
				t.Errorf("%d retained messages", n)
			}
			s.listen()
			d := s.connectAs("c", "bedroom", "good night") // the clear password
			d.publish("zigbee2mqtt/x", "1")
			s.connectAs("d", "garage", "foo") // and the hashed one
			for user, want := range map[string]bool{"bedroom": true, "garage": false} {
				if got := s.dir.Authorize(&broker.Identity{User: user, Version: 1}, broker.Publish, "zigbee2mqtt/x").Allow; got != want {
					t.Errorf("%s may publish: %v", user, got)
				}
			}
			// Twice is the same as once.
			again := send(b).is(t, http.StatusOK)
			again.says(t, "Is there already", "5000 retained messages")
			b.importNow(again).is(t, http.StatusOK).says(t, "Imported: 0 users", "0 retained messages")
			b.post("/import/apply", url.Values{"token": {tokenField.FindStringSubmatch(dry.body)[1]}}).is(t, http.StatusUnprocessableEntity)
		})
	}
}

// Hostile and damaged files give a report and change nothing (case W19).
func TestImportBroken(t *testing.T) {
	s := newSite(t, nil)
	b := s.ingress()
	before := len(s.dir.Users())
	bomb := tarball(t, true, map[string][]byte{"data/mosquitto.db": make([]byte, 50<<20)})
	db := retainedDB(10)
	for name, x := range map[string]struct {
		files map[string][]byte
		want  string
	}{
		"nothing":          {nil, "Choose a file"},
		"empty":            {map[string][]byte{"a": nil}, "Choose a file"},
		"picture":          {map[string][]byte{"a.png": []byte("\x89PNG\r\n\x1a\n\x00\x00")}, "nothing that Mosquitto writes"},
		"truncated":        {map[string][]byte{"mosquitto.db": db[:len(db)-3]}, "mosquitto.db"},
		"bomb":             {map[string][]byte{"b.tar.gz": bomb}, "Nothing can be imported"},
		"leads out":        {map[string][]byte{"b.tar": tarball(t, false, map[string][]byte{"../../etc/passwd": []byte("x")})}, "leads out of the backup"},
		"cut off":          {map[string][]byte{"b.tar": homeBackup(t, 10)[:3000]}, "backup"},
		"encrypted":        {map[string][]byte{"b.tar": []byte("SecureTar\x03\x00\x00\x00\x00\x00\x00")}, "encrypted"},
		"unknown keyword":  {map[string][]byte{"mosquitto.conf": []byte("listener 1883\nnonsense 1\n")}, "mosquitto.conf:2"},
		"bad rule":         {map[string][]byte{"acl": []byte("user a\ntopic frobnicate x/#\n"), "pw": []byte("a:$7$101$cXJ0eXVpb3Bhc2Q=$aaaa\n")}, "acl:2"},
		"line of a MB":     {map[string][]byte{"mosquitto.conf": []byte("listener 1883\nmax_queued_messages " + strings.Repeat("9", 1<<20) + "\n")}, "mosquitto.conf:2"},
		"two of a kind":    {map[string][]byte{"a": []byte("user a\ntopic #\n"), "b": []byte("user b\ntopic #\n")}, "send one of them"},
		"names other file": {map[string][]byte{"mosquitto.conf": []byte("listener 1883\npassword_file /etc/mosquitto/passwd\n")}, "not among the files"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.send(x.files, "").is(t, http.StatusUnprocessableEntity)
			a.says(t, x.want)
			if tokenField.MatchString(a.body) {
				t.Error("could be imported")
			}
		})
	}
	// A user without a password that can be checked is left out, the others come.
	a := b.send(map[string][]byte{"pw": []byte("good:PBKDF2$sha512$100000$os24lcPr9cJt2QDVWssblQ==$BK1BQ2wbwU1zNxv3Ml3wLuu5//hPop3/LvaPYjjCwdBvnpwusnukJPpcXQzyyjOlZdieXTx6sXAcX4WnZRZZnw==\nbad:$7$x\n")}, "").is(t, http.StatusOK)
	a.says(t, `user "bad" is left out`, `1 user with the password`)
	big := b.send(map[string][]byte{"big": make([]byte, maxUpload)}, "").is(t, http.StatusUnprocessableEntity)
	big.says(t, "64 MB")
	if got := len(s.dir.Users()); got != before {
		t.Errorf("%d users, before %d", got, before)
	}
}

// Sessions come over while HearthMQ runs, with what waits in them; twice is once.
func TestImportSessions(t *testing.T) {
	s := newSite(t, nil)
	b := s.ingress()
	send := func() answer {
		return b.send(map[string][]byte{"mosquitto.db": sessionDB(3)}, appOptions).is(t, http.StatusOK)
	}
	dry := send()
	dry.says(t, "1 session with 1 subscription and 3 queued messages")
	if s.broker.HasSession("lamp") {
		t.Fatal("a dry run makes sessions")
	}
	b.importNow(dry).is(t, http.StatusOK).says(t, "1 session", "3 messages that wait for devices")
	in, subs, err := s.broker.Session("lamp")
	if err != nil || in.User != "bedroom" || in.Queued != 3 || len(subs) != 1 || subs[0].Filter != "lamp/set" {
		t.Errorf("%+v, %+v, %v", in, subs, err)
	}
	send().says(t, "1 session")
	b.importNow(send()).is(t, http.StatusOK).says(t, "0 sessions")
	if in, _, err := s.broker.Session("lamp"); err != nil || in.Queued != 3 {
		t.Errorf("%+v, %v", in, err)
	}
}
