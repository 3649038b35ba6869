package addon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEverySettingIsDescribed(t *testing.T) {
	want := slices.DeleteFunc(Keys(), func(k string) bool { return slices.Contains(hiddenKeys, k) })
	var got []string
	groups := map[string]bool{}
	last := ""
	for _, s := range Defaults(true).Describe() {
		got = append(got, s.Key)
		if s.Meaning == "" || !strings.HasSuffix(s.Meaning, ".") || strings.Count(s.Meaning, "`")%2 != 0 {
			t.Errorf("%s: meaning %q", s.Key, s.Meaning)
		}
		if s.Origin != OriginDefault || s.Value != s.Default {
			t.Errorf("%s: nobody set it, but it is %q (default %q) from %s", s.Key, s.Value, s.Default, s.Origin)
		}
		if s.Group != last && groups[s.Group] {
			t.Errorf("%s: the group %s is in two pieces", s.Key, s.Group)
		}
		groups[s.Group], last = true, s.Group
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("described: %q\nsettings:  %q", got, want)
	}
}

func TestDescribeSaysWhereAValueComesFrom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "options.json")
	text := `{"log_level": "debug", "max_inflight": 7, "logins": [{"username": "bob", "password": "canary-in-options"}], "certfile": "fullchain.pem"}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, _, err := Load(Source{File: file, Environ: []string{"HEARTHMQ_LOG_LEVEL=warning", "HEARTHMQ_PROXY_PROTOCOL=10.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]Setting{}
	for _, s := range o.Describe() {
		found[s.Key] = s
		if strings.Contains(s.Value+s.Default, "canary") { // case W17
			t.Errorf("%s shows a password: %q", s.Key, s.Value)
		}
	}
	for key, want := range map[string][3]string{
		"log_level":       {"warning", "info", "HEARTHMQ_LOG_LEVEL"}, // the environment wins
		"max_inflight":    {"7", "20", "options.json"},
		"logins":          {"bob", "none", "options.json"},
		"certfile":        {"fullchain.pem", "fullchain.pem", "options.json"},
		"proxy_protocol":  {"10.0.0.0/8", "none", "HEARTHMQ_PROXY_PROTOCOL"},
		"max_keepalive":   {"no limit", "no limit", OriginDefault},
		"max_packet_size": {"16MB", "16MB", OriginDefault},
	} {
		if s := found[key]; [3]string{s.Value, s.Default, s.Origin} != want {
			t.Errorf("%s: %q, default %q, from %q; want %q", key, s.Value, s.Default, s.Origin, want)
		}
	}
}
