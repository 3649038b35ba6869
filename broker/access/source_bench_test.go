package access_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/packet"
)

// BenchmarkReplay hands 100,000 retained messages of 500 authors with 20 rules each to a
// new subscription, with and without asking for their authors' rights, before and after a
// restart.
func BenchmarkReplay(b *testing.B) {
	const messages = 100_000
	for _, form := range forms {
		d, ids := house(b, form.rule)
		store := broker.NewMemoryStore()
		start := func(check bool) *broker.Broker {
			cfg := broker.DefaultConfig()
			cfg.CheckRetainedSource, cfg.Durability = check, broker.SDSaver // which waits for nothing
			br, err := broker.New(cfg, broker.Deps{Authenticator: d, Authorizer: d, Store: store, Log: slog.New(slog.DiscardHandler)})
			must(b, err)
			return br
		}
		for _, when := range []string{"since the start", "from before"} {
			for _, check := range []bool{false, true} {
				br := start(check)
				if when == "since the start" {
					for i := range messages {
						id := ids[i%len(ids)]
						who := id.User
						if form.name != "user" {
							who = id.ClientID
						}
						name := fmt.Sprintf("home/%s/device%d/%d", who, i/len(ids)%20, i)
						must(b, br.Attach(id, broker.LocalOptions{}).Publish(b.Context(), broker.NewMessage(name, []byte("21.5"), 0, true)))
					}
				}
				b.Run(fmt.Sprintf("%s/%s/check=%v", form.name, when, check), func(b *testing.B) {
					for b.Loop() {
						client, server := net.Pipe()
						go br.ServeConn(b.Context(), server, broker.ListenerInfo{Name: "mqtt", Trusted: &broker.Identity{System: true}})
						must(b, client.SetDeadline(time.Now().Add(time.Minute)))
						p := packet.Connect{Version: packet.V311, ClientID: "sub", CleanStart: true}
						s := packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "home/#"}}}
						_, err := client.Write(s.Append(p.Append(nil, packet.V311), packet.V311))
						must(b, err)
						got := 0
						for r := bufio.NewReaderSize(client, 1<<16); got < messages; {
							head, err := r.ReadByte()
							must(b, err)
							n, err := binary.ReadUvarint(r)
							must(b, err)
							_, err = io.CopyN(io.Discard, r, int64(n))
							must(b, err)
							if packet.Type(head>>4) == packet.TypePublish {
								got++
							}
						}
						must(b, client.Close())
					}
					b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms/replay")
				})
				must(b, br.Shutdown(b.Context()))
			}
		}
	}
}
