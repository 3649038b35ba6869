package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"golang.org/x/sync/errgroup"

	"hearthmq/addon"
	"hearthmq/web"
)

// webServers are the admin's ports: the direct one with its own login, and the
// one that Home Assistant's ingress asks.
type webServers struct {
	log    *slog.Logger
	direct net.Listener // nil when off
	host   string       // of the setting web_address
	parts  []webPart
	most   int                   // connections to each of the ports
	record func(context.Context) // notes the last hour

	proxies []netip.Prefix // trusted
}

type webPart struct {
	ln      net.Listener
	handler http.Handler
}

// openWeb opens the admin's ports. One that is taken leaves the broker running.
func openWeb(o *addon.Options, cfg web.Config) (*webServers, error) {
	admin, err := web.New(cfg)
	if err != nil {
		return nil, err
	}
	w := &webServers{log: cfg.Log, record: admin.Record, most: adminConnections(fileLimit()), proxies: cfg.TrustedProxies}
	if o.WebAddress != "" && o.IngressAddress != "" {
		w.most /= 2
	}
	if o.WebAddress != "" {
		if w.direct = w.open("web_address", o.WebAddress, admin.Direct()); w.direct != nil {
			w.host, _, _ = net.SplitHostPort(o.WebAddress) // was validated
		}
	}
	if o.IngressAddress != "" {
		w.open("ingress_address", o.IngressAddress, withHealth(admin.Ingress(), admin.Health()))
	}
	return w, nil
}

func (w *webServers) open(setting, address string, h http.Handler) net.Listener {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		w.log.Error(fmt.Sprintf("the admin can't be reached: %s (setting %s): %v", address, setting, err))
		return nil
	}
	w.parts = append(w.parts, webPart{web.Porch(ln, w.most, w.proxies), h})
	return ln
}

// adminConnections is how many there may be to the admin with a limit on open files, 0: it
// is not known. Strangers may make them: they leave the others to devices.
func adminConnections(files int) int {
	if files == 0 {
		return 512
	}
	return min(max(files/8, 12), 512)
}

// withHealth lets hearthmq healthcheck ask the ingress port, where nobody but
// the Supervisor is answered otherwise.
func withHealth(ingress, health http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err == nil && peer.Addr().Unmap().IsLoopback() && r.URL.Path == "/healthz" {
			health.ServeHTTP(w, r)
			return
		}
		ingress.ServeHTTP(w, r)
	})
}

// serve answers requests until ctx ends; open feeds are told that the server stops.
func (w *webServers) serve(ctx context.Context, group *errgroup.Group) {
	group.Go(func() error { w.record(ctx); return nil })
	for _, p := range w.parts {
		srv := web.HTTPServer(p.handler, w.log)
		srv.BaseContext = func(net.Listener) context.Context { return ctx }
		group.Go(func() error {
			if err := srv.Serve(p.ln); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("admin: %w", err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), webStop)
			defer cancel()
			if srv.Shutdown(stop) != nil {
				return srv.Close()
			}
			return nil
		})
	}
}

// url is where a person on this machine finds the admin, "" when it is off.
func (w *webServers) url() string {
	if w.direct == nil {
		return ""
	}
	host := w.host
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(portOf(w.direct)))
}
