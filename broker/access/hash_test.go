package access

import (
	"fmt"
	"strings"
	"testing"
)

// Hashes made by others.
var foreign = []struct{ name, text, password string }{
	{"Mosquitto 1", "$6$clQ4Ocu312S0qWgl$Cv2wUxgEN73c6C6jlBkswqR4AkHsvDLWvtEXZZ8NpsBLgP1WAo/qA+WXcmEN/mjDNgdUwcxRAveqNMs2xUVQYA==", "password"},
	{"Mosquitto 2", "$7$1000$h0tqVxBwkB9rKAXukTtffzdbBQtNy1q5FBTDwSW4hucfjpqunBbxW10NVnRk7Cfh0lQndnOv2+k4wJavgz1JNw==$02ujkUXlKkJGFzlQHNjUgXwG3XRB1mr3vs8NX5teGCJGbN4hdgSpHNHuj47j8r5SHXsO7GeHpmkpPNhLraVVcQ==", "password"},
	{"Mosquitto's app", "PBKDF2$sha512$100000$qsU7xQ8YCV/9nRuBBJVTxA==$jqw94Ej3aEr97UofY6rClmVCRkTdDiubQW0A6ZYmUI+pZjW9Hax+2w2FeYB3y5ut1SliB7+HAwIl2iONLKkohw==", "foo"},
	// RFC 9106 has no vector without a secret; this is the one of the reference implementation's test.c.
	{"argon2id", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
}

func TestForeignHashes(t *testing.T) {
	for _, tt := range foreign {
		t.Run(tt.name, func(t *testing.T) {
			h, err := ParseHash(tt.text)
			if err != nil {
				t.Fatalf("ParseHash: %v", err)
			}
			if !h.Matches([]byte(tt.password)) {
				t.Errorf("%q does not match", tt.password)
			}
			for _, wrong := range []string{"", "Password", tt.password + "\x00", tt.password + " ", tt.password[1:]} {
				if h.Matches([]byte(wrong)) {
					t.Errorf("%q matches", wrong)
				}
			}
			again, err := ParseHash(h.String())
			if err != nil || again.String() != h.String() || !again.Matches([]byte(tt.password)) {
				t.Errorf("%q written and read again: %v", h, err)
			}
			if outdated := h.scheme != schemeArgon2id; h.outdated(DefaultCost) != outdated {
				t.Errorf("outdated = %v", !outdated)
			}
		})
	}
}

// case A22
func TestOwnHashes(t *testing.T) {
	cost := Cost{Time: 1, MemoryKiB: 64, Threads: 1}
	long := strings.Repeat("x", 1024)
	for _, password := range []string{"a", "a\x00b", "\xff\xfe", long, long[:72], long[:73], " pass word ", "Ünï", "U\u0308n"} {
		for _, h := range []Hash{newArgon2id([]byte(password), cost), newSHA256(password)} {
			h, err := ParseHash(h.String())
			if err != nil {
				t.Fatalf("ParseHash of our own: %v", err)
			}
			if !h.Matches([]byte(password)) {
				t.Errorf("%.20q (%d bytes) does not match its own hash", password, len(password))
			}
			for _, wrong := range []string{password + "x", password[:len(password)-1], "a\x00c", "ü", strings.TrimSpace(password) + "\n"} {
				if wrong != password && h.Matches([]byte(wrong)) {
					t.Errorf("%.20q matches the hash of %.20q", wrong, password)
				}
			}
		}
	}
	h := newArgon2id([]byte("a"), DefaultCost)
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(h.String(), want) {
		t.Errorf("our hash is %q, want %s…", h, want)
	}
	if h.outdated(DefaultCost) || !h.outdated(Cost{Time: 3, MemoryKiB: 19456}) {
		t.Error("outdated does not look at the cost")
	}
}

// case A14
func TestBadHashes(t *testing.T) {
	salt, sum := "c2FsdHNhbHQ", strings.Repeat("A", 86)
	good := fmt.Sprintf("$7$101$%s$%s", salt, sum)
	if _, err := ParseHash(good); err != nil {
		t.Fatalf("ParseHash(%q): %v", good, err)
	}
	bad := []string{
		"", "$", "$$$$", "password", "foo:$6$", "$1$abc$def", "$2b$10$abc", "{SSHA}xyz",
		fmt.Sprintf("$7$0$%s$%s", salt, sum), fmt.Sprintf("$7$-1$%s$%s", salt, sum), fmt.Sprintf("$7$+1$%s$%s", salt, sum),
		fmt.Sprintf("$7$999999999$%s$%s", salt, sum), fmt.Sprintf("$7$99999999999999999999$%s$%s", salt, sum),
		fmt.Sprintf("$7$101$$%s", sum), fmt.Sprintf("$7$101$%s$", salt), fmt.Sprintf("$7$101$%s$%s", salt, sum[:40]),
		fmt.Sprintf("$7$101$%s$%s$", salt, sum), fmt.Sprintf("$7$101$!%s$%s", salt, sum), "\n" + good, good + "\n",
		fmt.Sprintf("$7$101$%s\n$%s", salt, sum), fmt.Sprintf("$6$%s$%s", "c2Fs", sum),
		fmt.Sprintf("PBKDF2$sha256$1000$%s$%s", salt, sum), fmt.Sprintf("PBKDF2$sha512$$%s$%s", salt, sum),
		"$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$" + sum[:43], "$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$" + sum[:43],
		"$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$" + sum[:43], "$argon2id$v=19$m=64,t=1,p=0$c2FsdHNhbHQ$" + sum[:43],
		"$argon2id$v=19$m=7,t=1,p=1$c2FsdHNhbHQ$" + sum[:43], "$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$" + sum[:43],
		"$argon2id$v=19$m=262144,t=1000,p=1$c2FsdHNhbHQ$" + sum[:43], "$argon2id$v=19$t=1,m=64,p=1$c2FsdHNhbHQ$" + sum[:43],
		"$argon2id$v=19$m=64,t=1$c2FsdHNhbHQ$" + sum[:43], "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAA",
		"$sha256$c2FsdHNhbHQ$" + sum[:40],
	}
	for _, text := range bad {
		h, err := ParseHash(text)
		if err == nil {
			t.Errorf("ParseHash(%q) = %v", text, h)
		}
		if h.Matches(nil) || h.Matches([]byte("password")) {
			t.Errorf("what became of %q matches", text)
		}
		if err != nil && strings.Contains(err.Error(), sum[:20]) {
			t.Errorf("the error repeats the hash: %v", err)
		}
	}
}

func TestGeneratePassword(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		p := GeneratePassword()
		if len(p) != 26 || strings.Trim(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" || seen[p] {
			t.Fatalf("GeneratePassword() = %q", p)
		}
		seen[p] = true
	}
}

func FuzzParseHash(f *testing.F) {
	for _, tt := range foreign {
		f.Add(tt.text)
	}
	f.Add(newSHA256("x").String())
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHash(text)
		if err != nil {
			return
		}
		again, err := ParseHash(h.String())
		if err != nil || again.String() != h.String() {
			t.Fatalf("%q → %q → %q, %v", text, h, again, err)
		}
		if h.iterations > 1000 || h.cost.MemoryKiB*h.cost.Time > 256 {
			return // takes long
		}
		h.Matches([]byte("password"))
	})
}
