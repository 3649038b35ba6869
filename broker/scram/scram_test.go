package scram

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// The example of RFC 7677, section 3.
const (
	rfcNonce  = `%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0`
	rfcFirst  = `n,,n=user,r=rOprNGfwEbeRWgbNEkqO`
	rfcServer = `r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`
	rfcFinal  = `c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`
	rfcEnd    = `v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=`
)

func rfcServerSide(t testing.TB) *Server {
	t.Helper()
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	cred, err := NewCredential("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(func(name string) (Credential, bool) { return cred, name == "user" || name == "a,b=c" }, []byte("decoy"))
	s.nonce = rfcNonce
	return s
}

func TestVector(t *testing.T) {
	s := rfcServerSide(t)
	answer, done, err := s.Step([]byte(rfcFirst))
	if string(answer) != rfcServer || done || err != nil || s.Name() != "user" {
		t.Fatalf("first: %s, %v, %v", answer, done, err)
	}
	answer, done, err = s.Step([]byte(rfcFinal))
	if string(answer) != rfcEnd || !done || err != nil {
		t.Fatalf("final: %s, %v, %v", answer, done, err)
	}
	if _, done, err = s.Step([]byte(rfcFinal)); done || !errors.Is(err, ErrMessage) {
		t.Errorf("a third message: %v, %v", done, err)
	}
}

func TestCredential(t *testing.T) {
	s := rfcServerSide(t)
	c, _ := s.lookup("user")
	if len(c.StoredKey) != 32 || len(c.ServerKey) != 32 || hex.EncodeToString(c.StoredKey) == hex.EncodeToString(c.ServerKey) {
		t.Errorf("stored %x, server %x", c.StoredKey, c.ServerKey)
	}
	for _, bad := range []struct {
		salt string
		n    int
	}{{"", 4096}, {"salt", 4095}, {"salt", 0}} {
		if _, err := NewCredential("x", []byte(bad.salt), bad.n); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestRefused(t *testing.T) {
	proofOf := func(s string) string { return strings.Replace(rfcFinal, "dHzb", s, 1) }
	for name, c := range map[string]struct {
		first, final string
		want         error // of the last message that is sent
	}{
		"empty":               {"", "", ErrMessage},
		"no header":           {"n=user,r=abc", "", ErrMessage},
		"channel binding":     {"p=tls-unique,,n=user,r=abc", "", ErrMessage},
		"unknown flag":        {"x,,n=user,r=abc", "", ErrMessage},
		"extension":           {"n,,m=must,n=user,r=abc", "", ErrMessage},
		"no name":             {"n,,r=abc", "", ErrMessage},
		"empty name":          {"n,,n=,r=abc", "", ErrMessage},
		"bad escape":          {"n,,n=a=2Xb,r=abc", "", ErrMessage},
		"bare equals sign":    {"n,,n=a=b,r=abc", "", ErrMessage},
		"empty nonce":         {"n,,n=user,r=", "", ErrMessage},
		"nonce with space":    {"n,,n=user,r=a b", "", ErrMessage},
		"somebody else":       {"n,a=admin,n=user,r=abc", "", ErrMessage},
		"bad authzid":         {"n,b=user,n=user,r=abc", "", ErrMessage},
		"wrong proof":         {rfcFirst, proofOf("AAAA"), ErrProof},
		"short proof":         {rfcFirst, strings.Replace(rfcFinal, "dHzbZapW", "", 1), ErrMessage},
		"proof is no base64":  {rfcFirst, proofOf("!!!!"), ErrMessage},
		"no proof":            {rfcFirst, "c=biws,r=x", ErrMessage},
		"other nonce":         {rfcFirst, strings.Replace(rfcFinal, "r=rOpr", "r=xOpr", 1), ErrMessage},
		"other channel":       {rfcFirst, strings.Replace(rfcFinal, "biws", "eSws", 1), ErrMessage},
		"nothing but a proof": {rfcFirst, ",p=AAAA", ErrMessage},
		"unknown user":        {strings.Replace(rfcFirst, "user", "nobody", 1), rfcFinal, ErrProof},
	} {
		t.Run(name, func(t *testing.T) {
			s := rfcServerSide(t)
			_, done, err := s.Step([]byte(c.first))
			if c.final != "" {
				if err != nil {
					t.Fatal(err)
				}
				_, done, err = s.Step([]byte(c.final))
			}
			if done || !errors.Is(err, c.want) {
				t.Errorf("done %v, %v, want %v", done, err, c.want)
			}
			if _, done, _ = s.Step([]byte(rfcFinal)); done {
				t.Error("let in after a failure")
			}
		})
	}
}

func TestNames(t *testing.T) {
	s := rfcServerSide(t)
	if _, _, err := s.Step([]byte("y,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=abc")); err != nil || s.Name() != "a,b=c" {
		t.Errorf("%q, %v", s.Name(), err)
	}
}

// An unknown name gets the same salt each time, names get different ones.
func TestDecoy(t *testing.T) {
	salt := func(name string) string {
		answer, _, err := rfcServerSide(t).Step([]byte("n,,n=" + name + ",r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		return string(answer)
	}
	first, again := salt("nobody"), salt("nobody")
	if first != again || first == salt("nobody2") {
		t.Error("salts of unknown names")
	}
}

func FuzzServer(f *testing.F) {
	f.Add(rfcFirst, rfcFinal)
	f.Add("y,a=x,n=x,r=1", "c=biws,r=1,p=AA==")
	f.Fuzz(func(t *testing.T, first, final string) {
		s := rfcServerSide(t)
		if _, done, _ := s.Step([]byte(first)); done {
			t.Fatal("let in by its first message")
		}
		if _, done, _ := s.Step([]byte(final)); done && (first != rfcFirst || final != rfcFinal) {
			t.Fatalf("let in by %q, %q", first, final)
		}
	})
}
