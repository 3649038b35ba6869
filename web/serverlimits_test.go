package web

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestServerLimits holds the server itself to its limits, over real connections (case W23).
func TestServerLimits(t *testing.T) {
	s := furnished(t, false)
	srv := HTTPServer(s.server.Direct(), slog.New(slog.DiscardHandler))
	if srv.ReadHeaderTimeout != 5*time.Second || srv.Protocols != nil {
		t.Errorf("headers may take %v, protocols %v", srv.ReadHeaderTimeout, srv.Protocols)
	}
	srv.ReadHeaderTimeout = 100 * time.Millisecond // nobody wants to wait here
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	for name, c := range map[string]struct{ send, want string }{
		"half a header":         {"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", ""},
		"nothing at all":        {"", ""},
		"HTTP/2 without TLS":    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 403 "},
		"an upgrade to HTTP/2":  {"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "HTTP/1.1 200 "},
		"endless headers":       {"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "HTTP/1.1 431 "},
		"a body of 100 MB":      {"POST /login HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 104857600\r\n\r\n" + strings.Repeat("a=1&", maxBody/4+1), "HTTP/1.1 413 "},
		"10,000 fields":         {post(strings.Repeat("&", 10_000)), "HTTP/1.1 400 "},
		"two lengths":           {"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "HTTP/1.1 400 "},
		"a length and in parts": {"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nxx", "HTTP/1.1 501 "},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := net.Dial("tcp", ln.Addr().String())
			s.must(err)
			defer nc.Close()
			s.must(nc.SetDeadline(time.Now().Add(time.Minute)))
			_, _ = io.WriteString(nc, c.send) // the server may have hung up already
			line, err := bufio.NewReader(nc).ReadString('\n')
			if !strings.HasPrefix(line, c.want) || c.want == "" && line != "" && !strings.Contains(line, " 408 ") || c.want == "" && line == "" && err != io.EOF {
				t.Errorf("answered %q, %v, want %q", line, err, c.want)
			}
		})
	}
}

func post(body string) string {
	return fmt.Sprintf("POST /login HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// deadlineRecorder remembers until when a request's body may come.
type deadlineRecorder struct {
	*httptest.ResponseRecorder
	at time.Time
}

func (d *deadlineRecorder) SetReadDeadline(t time.Time) error { d.at = t; return nil }

// TestBodiesHaveATime: each body has a deadline, that of a backup a later one (case W23).
func TestBodiesHaveATime(t *testing.T) {
	h := bodyLimit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for path, want := range map[string]time.Duration{"/users/new": bodyTime, "/import": uploadTime, restorePath: backupTime, apiPath + "/publish": bodyTime} {
		w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("x"))
		r.Header.Set("Content-Type", "multipart/form-data")
		before := time.Now()
		h.ServeHTTP(w, r)
		if got := w.at.Sub(before); got < want || got > want+10*time.Second {
			t.Errorf("%s: a body may take %v, want %v", path, got, want)
		}
	}
}
