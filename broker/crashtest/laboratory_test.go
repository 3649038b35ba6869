package crashtest

import (
	"errors"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"hearthmq/broker"
)

// TestLaboratory holds the laboratory itself to account: a broker that acknowledges
// before it stores, and disks that forget what they said they had, must show.
func TestLaboratory(t *testing.T) {
	needStrace(t)
	tests := []struct {
		name string
		rec  recording
		// without leaves fsyncs of some files out of the history.
		without string
		losing  bool
	}{
		{"acknowledges early", recording{durability: broker.SDSaver, messages: 500, limit: patience}, "", true},
		{"log is not synced", recording{durability: broker.Durable, messages: 500, limit: patience}, "-wal", true},
		{"fsync does nothing", recording{durability: broker.Durable, messages: 500, limit: patience, inject: []string{"fsync:retval=0"}}, "", true},
		{"as it is", recording{durability: broker.Durable, messages: 500, limit: patience}, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rnd := random(t)
			past := tt.rec.record(t, rnd)
			if tt.without != "" {
				past.forget(tt.without)
			}
			r := past.cut(t, 60, rnd, false)
			t.Log(&r)
			if lossy := r.bad() > 0; lossy != tt.losing {
				t.Errorf("losses seen: %v, want %v", lossy, tt.losing)
			}
		})
	}
}

// forget takes the fsyncs of files with this ending out of the history.
func (h *history) forget(ending string) {
	for i := range h.steps {
		if s := &h.steps[i]; s.kind == synced && strings.HasSuffix(s.file, ending) {
			s.do = func(*disk, *model) error { return nil }
		}
	}
}

// TestTrace checks that the reader of strace's output takes calls apart that were
// interrupted, and does not pass over what it can't read.
func TestTrace(t *testing.T) {
	const folder = `\x2f\x64` // "/d"
	open := `1 openat(AT_FDCWD, "` + folder + `\x2f\x61", O_RDWR|O_CREAT, 0600) = 5` + "\n"
	tests := []struct {
		name, trace string
		want        string // contents of /d/a that are durable, and all of it
		err         string
	}{
		{"whole calls", open + `1 pwrite64(5, "\x41\x42", 2, 0) = 2` + "\n" + `2 fsync(5) = 0` + "\n" + `1 pwrite64(5, "\x43", 1, 2) = 1` + "\n", "AB ABC", ""},
		{"write within an fsync", open + `1 pwrite64(5, "\x41", 1, 0) = 1` + "\n" + `2 fsync(5 <unfinished ...>` + "\n" +
			`1 pwrite64(5, "\x42", 1, 1) = 1` + "\n" + `2 <... fsync resumed>) = 0` + "\n", "A AB", ""},
		{"interrupted write", open + `1 pwrite64(5, "\x41\x42", 2, 0 <unfinished ...>` + "\n" + `3 close(9) = 0` + "\n" + `1 <... pwrite64 resumed>) = 2` + "\n", " AB", ""},
		{"part of it", open + `1 pwrite64(5, "\x41\x42", 2, 0) = 1` + "\n", " A", ""},
		{"fsync failed", open + `1 pwrite64(5, "\x41", 1, 0) = 1` + "\n" + `1 fsync(5) = -1 EIO (Input/output error) (INJECTED)` + "\n" +
			`1 pwrite64(5, "\x42", 1, 1) = 1` + "\n" + `1 fsync(5) = 0` + "\n", "\x00B AB", ""},
		{"ftruncate", open + `1 pwrite64(5, "\x41\x42", 2, 0) = 2` + "\n" + `1 ftruncate(5, 1) = 0` + "\n" + `1 fdatasync(5) = 0` + "\n", "A A", ""},
		{"cut short", open + `1 pwrite64(5, "\x41"..., 5000000, 0) = 5000000` + "\n", "", "cut short"},
		{"no line", open + "strace: out of memory\n", "", "does not begin with a process"},
		{"unknown descriptor", `1 pwrite64(7, "\x41", 1, 0) = 1` + "\n", "", "unknown origin"},
		{"another way to write", open + `1 pwritev(5, [{iov_base="\x41", iov_len=1}], 1, 0) = 1` + "\n", "", "not accounted for"},
		{"written through memory", open + `1 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 5, 0) = 0x7f0000000000` + "\n", "", "not accounted for"},
		{"resumed out of nothing", open + `1 <... fsync resumed>) = 0` + "\n", "", "did not begin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHistory("/d")
			err := readTrace(strings.NewReader(tt.trace), h)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			d := newDisk()
			for _, s := range h.steps {
				err = errors.Join(err, s.do(d, newModel()))
			}
			if err != nil {
				t.Fatal(err)
			}
			f := d.files[filepath.Join("/d", "a")]
			if got := string(f.durable) + " " + string(f.contents()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestImages checks what a power cut may leave of writes that are pending.
func TestImages(t *testing.T) {
	f := &file{durable: []byte("aaaa")}
	f.change(&change{seq: 1, off: 0, data: []byte("b")})
	f.change(&change{seq: 2, off: 3, data: []byte(strings.Repeat("c", sector))})
	rnd := rand.New(rand.NewPCG(1, 1))
	c := strings.Repeat("c", sector)
	head, tail := c[:sector-3], strings.Repeat("\x00", sector-4)+"ccc"
	want := map[damage][]string{
		none:   {"aaaa"},
		all:    {"baa" + c},
		subset: {"aaaa", "baaa", "aaa" + c, "baa" + c},
		torn:   {"aaaa", "baaa", "aaa" + c, "baa" + c, "aaa" + head, "baa" + head, "aaaa" + tail, "baaa" + tail},
	}
	for how, expected := range want {
		seen := map[string]bool{}
		for range 1000 {
			seen[string(f.image(how, rnd))] = true
		}
		all := map[string]bool{}
		for _, s := range expected {
			all[s] = true
		}
		if !maps.Equal(seen, all) {
			t.Errorf("%s: %d different images, want %d", how, len(seen), len(all))
		}
	}
}
