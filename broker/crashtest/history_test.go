package crashtest

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"hearthmq/broker/packet"
)

// history is a broker's life as a sequence of steps, each of which changes the disk
// or what clients and broker have said to each other. It is made from strace's record.
type history struct {
	dir   string
	steps []step

	fds      map[int64]any  // what a descriptor stands for: *descriptor, *wire, or elsewhere
	seqs     map[*entry]int // number of changes so far
	names    map[string]*entry
	writes   int
	bytes    int64
	syncs    int
	failures int // fsyncs that failed
	lies     int // fsyncs that did nothing
	balanced bool
}

type step struct {
	kind stepKind
	file string // that was synced
	do   func(d *disk, m *model) error
}

type stepKind byte

const (
	written stepKind = iota // a file was changed
	synced                  // an fsync returned
	said                    // the broker sent packets
	heard                   // the broker read packets
	stepKinds
)

// entry is a file below the folder, descriptor an open one.
type entry struct {
	path string
	gone bool // removed and open still, or a folder
}

type descriptor struct {
	entry *entry
	at    int64 // where read and write go on
}

// elsewhere is a descriptor that has nothing to do with the folder or with clients.
type elsewhere struct{}

// wire is a Network Connection, from the broker's side.
type wire struct {
	client  string
	version packet.Version
	keep    bool
	in, out []byte // bytes that make no whole packet yet
}

func newHistory(dir string) *history {
	h := &history{dir: dir, fds: map[int64]any{}, seqs: map[*entry]int{}, names: map[string]*entry{}}
	for fd := range int64(3) {
		h.fds[fd] = elsewhere{}
	}
	return h
}

func (h *history) add(kind stepKind, do func(d *disk, m *model) error) {
	h.steps = append(h.steps, step{kind: kind, do: do})
}

// enter implements recorder: what a call may have done from its beginning on.
func (h *history) enter(c *call) error {
	switch c.name {
	case "close":
		fd, err := c.number(0)
		if err != nil {
			return err
		}
		delete(h.fds, fd) // before the kernel gives the number to somebody else
		return nil
	case "write", "pwrite64", "ftruncate", "fsync", "fdatasync":
	default:
		return nil
	}
	fd, err := c.number(0)
	if err != nil {
		return err
	}
	on, known := h.fds[fd]
	if !known {
		return fmt.Errorf("descriptor %d is of unknown origin", fd)
	}
	switch on := on.(type) {
	case *descriptor:
		return h.enterFile(c, on)
	case *wire:
		if c.name != "write" {
			return fmt.Errorf("%s on a socket", c.name)
		}
		// Said from the beginning of the call on; how much of it shows at the end.
		data, err := c.bytes(1)
		if err != nil {
			return err
		}
		c.note = &saying{w: on, data: data, at: len(h.steps)}
		h.add(said, nil)
	}
	return nil
}

// saying is a write to a socket; at is its step.
type saying struct {
	w    *wire
	data []byte
	at   int
}

// syncing is an fsync that covers the changes up to seq.
type syncing struct {
	path string
	seq  int
}

func (h *history) enterFile(c *call, on *descriptor) error {
	e, path := on.entry, on.entry.path
	if e.gone {
		return nil
	}
	switch c.name {
	case "fsync", "fdatasync":
		c.note = syncing{path, h.seqs[e]}
		return nil
	}
	h.seqs[e]++
	ch := &change{seq: h.seqs[e]}
	var err error
	switch c.name {
	case "ftruncate":
		ch.cut = true
		ch.off, err = c.number(1)
	case "write":
		ch.off = on.at
		ch.data, err = c.bytes(1)
		on.at += int64(len(ch.data))
	default:
		if ch.data, err = c.bytes(1); err == nil {
			ch.off, err = c.number(3)
		}
	}
	if err != nil {
		return err
	}
	c.note = ch
	h.add(written, func(d *disk, _ *model) error {
		d.create(path).change(ch)
		return nil
	})
	return nil
}

// leave implements recorder: what a call has come to.
func (h *history) leave(c *call) error {
	switch n := c.note.(type) {
	case *change:
		return h.leaveChange(c, n)
	case syncing:
		return h.leaveSync(c, n)
	case *saying:
		return h.leaveSaying(c, n)
	}
	if c.failed {
		return nil
	}
	switch c.name {
	case "open", "openat", "creat", "openat2":
		return h.opened(c)
	case "accept", "accept4":
		h.fds[c.ret] = new(wire)
	case "socket", "eventfd2", "epoll_create1":
		h.fds[c.ret] = elsewhere{}
	case "pipe2":
		text := strings.Trim(c.args[0], "[]")
		var a, b int64
		if _, err := fmt.Sscanf(text, "%d, %d", &a, &b); err != nil {
			return err
		}
		h.fds[a], h.fds[b] = elsewhere{}, elsewhere{}
	case "dup", "dup2", "dup3":
		return h.unexpected(c, 0)
	case "read":
		return h.read(c)
	case "recvfrom":
		if !c.flag(3, "MSG_PEEK") { // which moves nothing
			return h.unexpected(c, 0)
		}
	case "lseek", "readv", "recvmsg", "sendto", "sendmsg", "writev", "pwritev", "pwritev2", "fallocate",
		"sendfile", "splice", "copy_file_range", "sync_file_range", "msync", "truncate":
		return h.unexpected(c, 0)
	case "mmap":
		if c.flag(2, "PROT_WRITE") && c.flag(3, "MAP_SHARED") {
			return h.unexpected(c, 4)
		}
	case "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat":
		return h.renamed(c)
	case "io_uring_setup", "sync", "syncfs", "close_range":
		return fmt.Errorf("%s is not accounted for", c.name)
	}
	return nil
}

// unexpected is an error when argument i is a descriptor of a file or a client.
func (h *history) unexpected(c *call, i int) error {
	fd, err := c.number(i)
	if err != nil {
		return err
	}
	switch on := h.fds[fd].(type) {
	case *descriptor:
		if ignored(on.entry.path) {
			return nil
		}
	case *wire:
	default:
		return nil
	}
	return fmt.Errorf("%s is not accounted for", c.name)
}

func (h *history) leaveChange(c *call, ch *change) error {
	switch {
	case c.cut: // killed in it: done or not
	case c.failed:
		ch.failed = true
	case !ch.cut:
		if c.name == "write" && c.ret < int64(len(ch.data)) {
			return errors.New("write took part of it")
		}
		h.writes, h.bytes = h.writes+1, h.bytes+c.ret
		ch.data = ch.data[:c.ret]
	}
	return nil
}

func (h *history) leaveSync(c *call, s syncing) error {
	switch {
	case c.cut:
		return nil
	case c.failed:
		h.failures++
		h.add(synced, func(d *disk, _ *model) error { d.create(s.path).syncFailed(s.seq); return nil })
	case c.injected: // strace said so in the disk's place: a lie
		h.lies++
	default:
		h.syncs++
		h.steps = append(h.steps, step{kind: synced, file: s.path, do: func(d *disk, _ *model) error { d.create(s.path).sync(s.seq); return nil }})
	}
	return nil
}

func (h *history) leaveSaying(c *call, s *saying) error {
	data := s.data
	if c.failed {
		data = nil
	} else {
		data = data[:c.ret]
	}
	ps, err := s.w.packets(&s.w.out, data)
	if err != nil {
		return err
	}
	h.steps[s.at].do = func(_ *disk, m *model) error { return m.said(s.w, ps) }
	return nil
}

func (h *history) read(c *call) error {
	fd, err := c.number(0)
	if err != nil {
		return err
	}
	if on, ok := h.fds[fd].(*descriptor); ok {
		on.at += c.ret
	}
	w, ok := h.fds[fd].(*wire)
	if !ok || c.ret == 0 {
		return nil
	}
	data, err := c.bytes(1)
	if err != nil {
		return err
	}
	if int64(len(data)) != c.ret {
		return fmt.Errorf("read %d bytes, recorded %d", c.ret, len(data))
	}
	ps, err := w.packets(&w.in, data)
	if err != nil {
		return err
	}
	h.add(heard, func(_ *disk, m *model) error { return m.heard(w, ps) })
	return nil
}

// packets returns the packets that data completes.
func (w *wire) packets(carry *[]byte, data []byte) ([]packet.Packet, error) {
	*carry = append(*carry, data...)
	var ps []packet.Packet
	for {
		f, n, _, err := packet.Split(*carry, 0)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return ps, nil
		}
		p, err := packet.Decode(w.version, f)
		if err != nil {
			return nil, err
		}
		if hello, ok := p.(*packet.Connect); ok {
			w.client, w.version = hello.ClientID, hello.Version
			w.keep = hello.Version == packet.V50 && hello.Properties.SessionExpiry > 0 || hello.Version != packet.V50 && !hello.CleanStart
		}
		*carry = (*carry)[n:]
		ps = append(ps, p)
	}
}

// opened notes what a new descriptor stands for.
func (h *history) opened(c *call) error {
	at := 1
	if c.name == "open" || c.name == "creat" {
		at = 0
	}
	path, err := c.bytes(at)
	if err != nil {
		return err
	}
	name := string(path)
	if !strings.HasPrefix(name, h.dir+"/") && name != h.dir {
		h.fds[c.ret] = elsewhere{}
		return nil
	}
	if name == h.dir || c.flag(at+1, "O_DIRECTORY") {
		h.fds[c.ret] = &descriptor{entry: &entry{path: name, gone: true}} // its fsync: names are durable at once anyway
		return nil
	}
	e := h.names[name]
	if e == nil {
		e = &entry{path: name}
		h.names[name] = e
		h.add(written, func(d *disk, _ *model) error { d.create(name); return nil })
	}
	if c.flag(at+1, "O_TRUNC") {
		h.seqs[e]++
		ch := &change{seq: h.seqs[e], cut: true}
		h.add(written, func(d *disk, _ *model) error { d.create(name).change(ch); return nil })
	}
	h.fds[c.ret] = &descriptor{entry: e}
	return nil
}

// renamed follows names.
func (h *history) renamed(c *call) error {
	var paths []string
	for i, a := range c.args {
		if strings.HasPrefix(a, `"`) {
			b, err := c.bytes(i)
			if err != nil {
				return err
			}
			if !filepath.IsAbs(string(b)) {
				return fmt.Errorf("%s of a relative path", c.name)
			}
			paths = append(paths, string(b))
		}
	}
	if !slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, h.dir+"/") }) {
		return nil
	}
	from := h.names[paths[0]]
	if from == nil {
		return nil // a folder, or a file that was not there
	}
	delete(h.names, paths[0])
	switch {
	case strings.HasPrefix(c.name, "unlink"):
		from.gone = true
		h.add(written, func(d *disk, _ *model) error { delete(d.files, paths[0]); return nil })
	case strings.HasPrefix(c.name, "rename"):
		h.names[paths[1]] = from
		from.path = paths[1]
		h.add(written, func(d *disk, _ *model) error {
			d.files[paths[1]] = d.files[paths[0]]
			delete(d.files, paths[0])
			return nil
		})
	default:
		return fmt.Errorf("%s is not accounted for", c.name)
	}
	return nil
}
