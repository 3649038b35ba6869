package mosquitto_test

import (
	"bytes"
	"strings"
	"testing"

	"hearthmq/broker/mosquitto"
)

// case A21, case A15: the settings that an import names let who has no user name in by the
// listeners that did so before, and by no other: neither by one that the file does not have.
func TestAnonymousSettings(t *testing.T) {
	const tls = "certfile c\nkeyfile k\n"
	for _, tt := range []struct {
		name, conf string
		want       []string // lines of the report about it
	}{
		{"nobody", "listener 1883\nallow_anonymous false\n", nil},
		{"not said", "listener 1883\n", nil},
		{"the only listener", "listener 1883\nallow_anonymous true\n", []string{"anonymous: full   (/m.conf:1)", `anonymous_listeners: ["mqtt"]   (/m.conf:1)`}},
		{"the standard listener", "port 1883\nallow_anonymous true\n", []string{"anonymous: full   (/m.conf:1)", `anonymous_listeners: ["mqtt"]   (/m.conf:1)`}},
		{"without any listener, as before 2.0 for this machine", "persistence true\n", []string{"anonymous: full   (/m.conf)", `anonymous_listeners: ["mqtt"]   (/m.conf)`}},
		{"TLS beside it", "per_listener_settings true\nlistener 1883\nallow_anonymous true\nlistener 8883\n" + tls,
			[]string{"anonymous: full   (/m.conf:2)", `anonymous_listeners: ["mqtt"]   (/m.conf:2)`}},
		{"the second one", "per_listener_settings true\nlistener 1883\nallow_anonymous false\nlistener 9001\nprotocol websockets\nallow_anonymous true\n",
			[]string{"anonymous: full   (/m.conf:4)", `anonymous_listeners: ["ws"]   (/m.conf:4)`}},
		{"a sort that is left behind", "per_listener_settings true\nlistener 1883\nlistener 1884\nallow_anonymous true\n", nil},
		{"all of them", "allow_anonymous true\nlistener 1883\nlistener 8883\n" + tls + "listener 0 /s\nlistener 9001\nprotocol websockets\nlistener 9002\nprotocol websockets\n" + tls,
			[]string{"anonymous: full   (/m.conf:2)", `anonymous_listeners: ["mqtt", "mqtts", "unix", "ws", "wss"]   (/m.conf:2)`}},
		{"listener_allow_anonymous", "allow_anonymous true\nlistener 1883\nlistener_allow_anonymous false\nlistener 0 /s\n",
			[]string{"anonymous: full   (/m.conf:4)", `anonymous_listeners: ["unix"]   (/m.conf:4)`}},
		{"with rules", "allow_anonymous true\nacl_file /acl\nlistener 1883\n", []string{"anonymous: restricted   (/m.conf:3)", `anonymous_listeners: ["mqtt"]   (/m.conf:3)`}},
		{"with rules for others alone", "per_listener_settings true\nlistener 1883\nallow_anonymous true\nlistener 8883\nacl_file /acl\n" + tls, []string{
			`/m.conf:2: allow_anonymous: whoever has no user name may everything by :1883, and in HearthMQ what the role anonymous allows`,
			"anonymous: restricted   (/m.conf:2)", `anonymous_listeners: ["mqtt"]   (/m.conf:2)`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := mosquitto.Uploaded{"/m.conf": []byte(tt.conf), "/acl": []byte("topic read public/#\nuser anna\ntopic readwrite home/#\n")}
			p := plan(mosquitto.Reader{Files: files}.Read(mosquitto.Sources{Conf: "/m.conf"}))
			var report bytes.Buffer
			if _, err := p.Report.WriteTo(&report); err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(report.String()) {
				line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
				if strings.HasPrefix(line, "anonymous") || strings.Contains(line, "allow_anonymous: ") {
					got = append(got, line)
				}
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("%s\nwant\n%s\nof\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"), &report)
			}
		})
	}
	// An acl_file that can't be read opens nothing.
	in := mosquitto.Reader{Files: mosquitto.Uploaded{"/m.conf": []byte("listener 1883\nallow_anonymous true\nacl_file /acl\n")}}.Read(mosquitto.Sources{Conf: "/m.conf"})
	for _, s := range plan(in).Report.Settings {
		if s.Key == "anonymous" && s.Value != "restricted" {
			t.Errorf("without the acl_file: %s", s.Value)
		}
	}
}
