package difftest

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hearthmq/broker"
	"hearthmq/broker/brokertest"
)

// window is how many QoS 1 and 2 messages are under way, in both brokers.
const window = 20

// ends knows which of HearthMQ's connections have ended, by the client's address.
type ends struct {
	mu   sync.Mutex
	done map[string]chan struct{}
}

// of returns what is closed when the connection from addr has ended.
func (e *ends) of(addr string) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.done[addr]
	if c == nil {
		c = make(chan struct{})
		e.done[addr] = c
	}
	return c
}

// end says that the connection from addr has ended. Its port may serve another one
// later, which has an end of its own.
func (e *ends) end(addr string) {
	close(e.of(addr))
}

// begin forgets the end of an earlier connection from the same port.
func (e *ends) begin(addr string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.done[addr]; c != nil {
		select {
		case <-c:
			delete(e.done, addr)
		default: // somebody waits for this one already
		}
	}
}

// startHearthMQ serves on a port of the loopback interface. stop ends it.
func startHearthMQ(store broker.Store) (s *site, stop func(), err error) {
	cfg := broker.DefaultConfig()
	cfg.MaxInflight, cfg.ReceiveMaximum, cfg.LikeMosquitto = window, window, *stand
	b, err := broker.New(cfg, broker.Deps{Authenticator: brokertest.Everything{}, Authorizer: brokertest.Everything{}, Store: store, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	e := &ends{done: make(map[string]chan struct{})}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			local := nc.RemoteAddr().String()
			e.begin(local)
			conns.Go(func() {
				b.ServeConn(context.Background(), nc, broker.ListenerInfo{Name: "mqtt"})
				e.end(local)
			})
		}
	})
	s = &site{name: "HearthMQ", addr: ln.Addr().String(), gone: func(local string) { <-e.of(local) }}
	if store != nil {
		s.settle = settler(b)
	}
	return s, func() {
		ln.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = b.Shutdown(ctx)
		conns.Wait()
	}, nil
}

// settler waits until what the broker has to store is stored: messages that it
// publishes itself are stored after all that came before. So many wait for it at
// once that the journal does not wait for others to join.
func settler(b *broker.Broker) func() {
	const enough = 8
	turn := 0
	return func() {
		turn++
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var all sync.WaitGroup
		for i := range enough {
			all.Go(func() {
				_ = b.Publish(ctx, broker.NewMessage(fmt.Sprint("$difftest/", i), fmt.Append(nil, turn), 1, true))
			})
		}
		all.Wait()
	}
}

const mosquittoConfig = `listener %d 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
persistence false
allow_duplicate_messages true
max_inflight_messages %d
max_queued_messages %d
sys_interval 0
log_dest stderr
log_type information
`

// startMosquitto starts a process of its own with its files in dir, and waits
// until it serves. stop ends it.
func startMosquitto(program, dir string) (s *site, stop func(), err error) {
	for range 5 { // the port may be somebody else's by then
		if s, stop, err = tryMosquitto(program, dir); err == nil {
			return s, stop, nil
		}
	}
	return nil, nil, err
}

func tryMosquitto(program, dir string) (*site, func(), error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	addr := ln.Addr().(*net.TCPAddr)
	ln.Close()
	config := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, mosquittoConfig, addr.Port, window, broker.DefaultConfig().MaxQueuedMessages), 0o644); err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(program, "-c", config)
	logged, err := cmd.StderrPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	var reading sync.WaitGroup
	running := make(chan bool, 1)
	reading.Go(func() {
		lines := bufio.NewScanner(logged)
		for lines.Scan() {
			if strings.HasSuffix(lines.Text(), " running") {
				running <- true
			}
		}
		close(running)
	})
	stop := func() {
		_ = cmd.Process.Kill() // nothing in it is worth keeping
		reading.Wait()
		_ = cmd.Wait()
	}
	select {
	case ok := <-running:
		if ok {
			return &site{name: "Mosquitto", addr: addr.String()}, stop, nil
		}
	case <-time.After(patience):
	}
	stop()
	return nil, nil, fmt.Errorf("%s does not serve on %s", program, addr)
}
