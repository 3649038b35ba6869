package crashtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// sector is the unit that a disk writes as a whole.
const sector = 512

// disk is what is on a disk, and what is only on its way there.
type disk struct {
	files map[string]*file // by path
}

// file is a file's contents. What fsync has covered is durable, the rest pending.
type file struct {
	durable []byte
	pending []*change // in the order of the calls
}

// change is one call that changed a file's contents.
type change struct {
	seq    int
	off    int64
	data   []byte
	cut    bool // ftruncate to off
	lost   bool // an fsync failed on it: the kernel takes it for written, no later fsync will write it
	failed bool // the call changed nothing
}

func newDisk() *disk { return &disk{files: map[string]*file{}} }

func (d *disk) create(path string) *file {
	f := d.files[path]
	if f == nil {
		f = new(file)
		d.files[path] = f
	}
	return f
}

// change makes a change pending. A lost write that is written over is not lost any
// more: what the kernel holds is the newer one.
func (f *file) change(c *change) {
	if c.failed {
		return
	}
	keep := f.pending[:0]
	for _, old := range f.pending {
		if old.lost && covers(c, old) {
			continue
		}
		keep = append(keep, old)
	}
	f.pending = append(keep, c)
}

func covers(c, old *change) bool {
	if c.cut {
		return old.off >= c.off
	}
	return c.off <= old.off && old.off+int64(len(old.data)) <= c.off+int64(len(c.data))
}

// sync makes the changes up to seq durable, in order.
func (f *file) sync(seq int) {
	keep := f.pending[:0]
	for _, c := range f.pending {
		if c.seq > seq || c.lost {
			keep = append(keep, c)
			continue
		}
		f.durable = c.apply(f.durable)
	}
	clear(f.pending[len(keep):])
	f.pending = keep
}

// syncFailed notes that the changes up to seq will never be written by themselves.
func (f *file) syncFailed(seq int) {
	for _, c := range f.pending {
		c.lost = c.lost || c.seq <= seq
	}
}

// apply makes the change to contents.
func (c *change) apply(b []byte) []byte {
	if c.cut {
		return resize(b, c.off)
	}
	if end := c.off + int64(len(c.data)); int64(len(b)) < end {
		b = resize(b, end)
	}
	copy(b[c.off:], c.data)
	return b
}

func resize(b []byte, n int64) []byte {
	if n <= int64(len(b)) {
		return b[:n]
	}
	old := len(b)
	if int64(cap(b)) >= n {
		b = b[:n]
		clear(b[old:])
		return b
	}
	return append(b, make([]byte, n-int64(old))...)
}

// contents is the file as a process sees it: everything applied.
func (f *file) contents() []byte {
	b := append([]byte(nil), f.durable...)
	for _, c := range f.pending {
		b = c.apply(b)
	}
	return b
}

// damage is what a power cut does to the changes that are pending.
type damage int

const (
	none   damage = iota // nothing of them got to the disk
	all                  // everything did
	subset               // any of them did, others before and after not
	torn                 // as subset, and of some writes only some sectors
	damages
)

func (d damage) String() string { return [...]string{"none", "all", "subset", "torn"}[d] }

// image is the file after a power cut.
func (f *file) image(how damage, rnd *rand.Rand) []byte {
	b := append([]byte(nil), f.durable...)
	for _, c := range f.pending {
		switch {
		case how == none, how >= subset && rnd.IntN(2) == 0:
			continue
		case how == torn && !c.cut && rnd.IntN(2) == 0:
			for _, part := range c.sectors() {
				if rnd.IntN(2) == 0 {
					b = part.apply(b)
				}
			}
		default:
			b = c.apply(b)
		}
	}
	return b
}

// sectors splits a write where sectors of the file begin.
func (c *change) sectors() []*change {
	var out []*change
	for at := 0; at < len(c.data); {
		off := c.off + int64(at)
		n := min(int(sector-off%sector), len(c.data)-at)
		out = append(out, &change{off: off, data: c.data[at : at+n]})
		at += n
	}
	return out
}

// write writes the image of a power cut into a folder.
func (d *disk) write(dir string, how damage, rnd *rand.Rand) error {
	for path, f := range d.files {
		if ignored(path) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), f.image(how, rnd), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// ignored files are of no use after a power cut.
func ignored(path string) bool { return strings.HasSuffix(path, "-shm") }

// compare fails when the files of a folder are not what the disk says: then
// something was not accounted for.
func (d *disk) compare(dir string) error {
	there, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range there {
		path := filepath.Join(dir, e.Name())
		if d.files[path] == nil && !ignored(path) {
			return fmt.Errorf("%s was made by no call that was recorded", path)
		}
	}
	for path, f := range d.files {
		if ignored(path) {
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		want := f.contents()
		if len(got) != len(want) {
			return fmt.Errorf("%s has %d bytes, the record says %d", path, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				return fmt.Errorf("%s differs from the record at byte %d", path, i)
			}
		}
	}
	return nil
}
