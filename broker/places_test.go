package broker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// Where very many addresses have come, none is forgotten that has connections or has not paid
// for what it sent, as long as there is one that may be: it would be allowed everything anew
// (case R3). The same holds for clients that come back again and again (case A18).
func TestPlacesInUseAreRemembered(t *testing.T) {
	b := &Broker{}
	cfg := DefaultConfig()
	cfg.MaxConnectionsPerAddress, cfg.MessageRatePerAddress = 5, 10
	b.settings.Store(&cfg)
	now := time.Now()
	var d doorkeeper
	come := func(address string) (*guest, *Refusal) {
		g := &guest{b: b, remote: netip.AddrPortFrom(netip.MustParseAddr(address), 1000)}
		return g, d.arrive(g, now)
	}
	busy, talkative := "192.0.2.1", "192.0.2.2"
	for range 5 {
		if _, refused := come(busy); refused != nil {
			t.Fatal(refused)
		}
	}
	g, refused := come(talkative)
	if refused != nil {
		t.Fatal(refused)
	}
	for range 1000 {
		g.place.crowd.wait(&cfg, 1, 0, now)
	}
	owes := g.place
	d.leave(g)
	looping := func(id string) time.Duration {
		return d.comesBack(&conn{guest: &guest{remote: netip.MustParseAddrPort("192.0.2.3:1")}, cfg: &cfg}, id, now)
	}
	for range loopBurst + 5 {
		looping("loop")
	}
	for i := range 3*maxPlaces/2 - 100 { // as many as there is room for once the first are forgotten
		if i == maxPlaces/2 {
			now = now.Add(2 * time.Second) // what the others spent is theirs again
		}
		g, refused := come(fmt.Sprintf("10.0.%d.%d", i>>8, i&0xFF))
		if refused != nil {
			t.Fatal(refused)
		}
		d.leave(g)
		looping(fmt.Sprint("client", i))
	}
	if len(d.places) > maxPlaces || len(d.loops) > maxPlaces {
		t.Errorf("%d addresses and %d clients are remembered", len(d.places), len(d.loops))
	}
	if _, refused := come(busy); refused == nil {
		t.Error("an address with all its connections has come to more")
	}
	if g, _ := come(talkative); g.place != owes {
		t.Error("an address that owes is forgotten")
	}
	if looping("loop") == 0 {
		t.Error("a client in a loop is let in at once")
	}
}
