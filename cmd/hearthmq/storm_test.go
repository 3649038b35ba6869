package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hearthmq/broker/brokertest"
)

// cases A19 and A20: three hundred devices come back after a restart.
func TestFloodStorm(t *testing.T) {
	const devices = 300
	for _, tt := range []struct {
		name   string
		shared bool   // one user for all
		args   string // of user add
		within time.Duration
		memory int64
	}{
		{"one shared chosen password", true, "--password-stdin", 3 * time.Second, 200 << 20},
		{"300 different chosen passwords", false, "--password-stdin", 10 * time.Second, 200 << 20},
		{"300 generated passwords", false, "--generate", time.Second, 200 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVictim(t, nil)
			users, passwords := make([]string, devices), make([]string, devices)
			for i := range devices {
				if tt.shared && i > 0 {
					users[i], passwords[i] = users[0], passwords[0]
					continue
				}
				users[i], passwords[i] = fmt.Sprint("device", i), fmt.Sprint("chosen by a person ", i)
				r := command(t, v.dir, passwords[i], "user", "add", users[i], tt.args, "--role", "everything")
				if r.code != 0 {
					t.Fatal(r.stderr)
				}
				if tt.args == "--generate" {
					passwords[i] = r.stdout[:26]
				}
			}
			connectAll := func() (took time.Duration, wrong, later int64) {
				var denied, busy atomic.Int64
				var wg sync.WaitGroup
				begin := time.Now()
				for i := range devices {
					wg.Go(func() {
						for {
							d, err := connectDevice(v.mqtt, users[i]+fmt.Sprint("-", i), users[i], passwords[i], false)
							if err == nil {
								t.Cleanup(func() { d.Close() })
								return
							}
							if errors.Is(err, errRefused) && err.Error() != "refused: return code 3" {
								denied.Add(1)
								return
							}
							busy.Add(1)
							if time.Since(begin) > time.Minute {
								t.Errorf("%s: %v", users[i], err)
								return
							}
							time.Sleep(200 * time.Millisecond) //nolint:forbidigo // as a device does
						}
					})
				}
				wg.Wait()
				return time.Since(begin), denied.Load(), busy.Load()
			}
			v.start()
			first, wrong, _ := connectAll()
			if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			<-v.done
			v.start()
			m, used := brokertest.WatchMachine(), v.processor()
			took, wrongAgain, later := connectAll()
			used = v.processor() - used
			_, most := v.rss()
			t.Logf("%s: all connected %v after the port opened (the first time %v) with %v of the processors, %d told to come back, %d told that the password is wrong, most RSS %s",
				tt.name, took.Round(time.Millisecond), first.Round(time.Millisecond), used, later, wrong+wrongAgain, mib(most))
			if took > tt.within {
				m.Timing(t, "took %v, want %v", took, tt.within)
			}
			if wrong+wrongAgain > 0 || most > tt.memory {
				t.Errorf("want nobody told that the password is wrong, and less than %s", mib(tt.memory))
			}
		})
	}
}

// case R15: as many TLS handshakes a second as this machine can ask for.
func TestFloodHandshakes(t *testing.T) {
	h := newHouse(t)
	h.issue("server")
	v := newVictim(t, options{"certfile": h.path("server.pem"), "keyfile": h.path("server.key")})
	v.start()
	eventually(t, "the encrypted port is open", func() bool {
		c, err := tls.Dial("tcp", v.mqtts, &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	pool := x509.NewCertPool()
	pool.AddCert(h.cert)
	s, m, used := startSentinel(t, v.mqtt), brokertest.WatchMachine(), v.processor()
	var shaken, failed atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range 16 {
		wg.Go(func() {
			for time.Since(begin) < 10*time.Second {
				c, err := tls.Dial("tcp", v.mqtts, &tls.Config{RootCAs: pool, ServerName: "localhost"})
				if err != nil {
					failed.Add(1)
					continue
				}
				shaken.Add(1)
				c.Close()
			}
		})
	}
	wg.Wait()
	used = v.processor() - used
	p50, p99, worst := s.end(t)
	t.Logf("R15: %.0f TLS handshakes/s for 10 s (%d failed) with %v of the processors, the clients' share of the two cores included; sentinel p50 %v p99 %v worst %v",
		float64(shaken.Load())/10, failed.Load(), used, p50, p99, worst)
	if p99 > 100*time.Millisecond {
		m.Timing(t, "sentinel p99 %v", p99)
	}
}
