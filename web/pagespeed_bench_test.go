package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkPages is what the server does for the larger pages of a filled house.
func BenchmarkPages(b *testing.B) {
	s := filled(b)
	h := ingressProxy(s.server.Ingress(), ingressBase)
	for _, path := range []string{"/", "/clients", "/discovery", "/retained", "/users", "/access"} {
		b.Run(strings.Trim(path, "/"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, ingressBase+path, nil))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
