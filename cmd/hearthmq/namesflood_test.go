package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hearthmq/addon/addontest"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
	"hearthmq/broker/sqlite"
)

// case A17, over the wire, with the real cost of a hash: users of no kind can be told from
// names that nobody has by the time it takes to be refused, alone and with Home Assistant's
// logins; nor by the answer, nor by how loud the log is.
func TestFloodUserNames(t *testing.T) {
	for _, haUsers := range []bool{false, true} {
		t.Run(fmt.Sprintf("Home Assistant's logins: %v", haUsers), func(t *testing.T) {
			v := newVictim(t, options{"ingress_address": brokertest.FreeAddress(t), "max_connections_per_address": 0, "logins": []map[string]any{
				{"username": "settings", "password": guessedPassword},
				{"username": "imported", "password": foreignHash, "password_pre_hashed": true},
			}})
			kinds := append(strangeUsers(t, v.dir), "settings", "imported", access.HomeAssistantUser)
			tries, atOnce := 40, 1 // of each, and as many of nobody
			if haUsers {
				fake := addontest.New(t, addontest.HearthMQ())
				for _, e := range fake.Environ(addontest.HearthMQ()) {
					name, value, _ := strings.Cut(e, "=")
					t.Setenv(name, value)
				}
				atOnce = 4
			}
			v.start()
			all := 0
			for _, kind := range kinds {
				for attempt := 1; ; attempt++ {
					known, unknown := v.refusals(kind, tries, atOnce, &all)
					p := brokertest.KolmogorovSmirnov(known, unknown)
					t.Logf("A17: %s, %d tries each: median %v, of unknown names %v, p = %.3f", kind, tries, known[tries/2], unknown[tries/2], p)
					if haUsers && min(known[0], unknown[0]) < access.RefusalTime {
						t.Errorf("%s: refused after %v, an unknown name after %v", kind, known[0], unknown[0])
					}
					if p > 0.01 {
						break
					}
					if attempt == 3 {
						t.Errorf("%s and an unknown user can be told apart", kind)
						break
					}
				}
			}
			told := regexp.MustCompile(`info     more lines of a kind.* kind="client refused" left_out=(\d+)`)
			eventually(t, "each refusal is in the log at info, or counted there", func() bool {
				text := v.log.String()
				n := strings.Count(text, "info     client refused")
				for _, m := range told.FindAllStringSubmatch(text, -1) {
					left, _ := strconv.Atoi(m[1]) // digits
					n += left
				}
				return n == all
			})
		})
	}
}

// foreignHash is one of Mosquitto's app.
const foreignHash = "PBKDF2$sha512$100000$qsU7xQ8YCV/9nRuBBJVTxA==$jqw94Ej3aEr97UofY6rClmVCRkTdDiubQW0A6ZYmUI+pZjW9Hax+2w2FeYB3y5ut1SliB7+HAwIl2iONLKkohw=="

// strangeUsers stores a user of each kind, before the process starts, and returns their names.
func strangeUsers(t *testing.T, dir string) []string {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, databaseName), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	accounts := access.NewAccounts(db.Accounts(), access.NewDirectory(access.Policy{}), nil, nil)
	if err := accounts.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	names := []string{"chosen", "generated", "certificate", "off", "mosquitto"}
	for _, n := range []access.NewUser{
		{Name: "chosen", Password: guessedPassword}, {Name: "generated", Generate: true}, {Name: "certificate", NoPassword: true}, {Name: "off", Password: guessedPassword},
		{Name: "mosquitto", Hash: "$6$clQ4Ocu312S0qWgl$Cv2wUxgEN73c6C6jlBkswqR4AkHsvDLWvtEXZZ8NpsBLgP1WAo/qA+WXcmEN/mjDNgdUwcxRAveqNMs2xUVQYA=="},
	} {
		if _, _, err := accounts.CreateUser(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	yes := true
	if err := accounts.ChangeUser(t.Context(), "off", access.UserChange{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	return names
}

// refusals returns the sorted times of n refused logins as that user and as many as nobody,
// in pairs of random order, each from an address that has guessed once at most. all counts them.
func (v *victim) refusals(user string, n, atOnce int, all *int) (known, unknown []time.Duration) {
	v.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	first := 0
	for i := range 2 * n {
		if i%2 == 0 {
			first = rand.IntN(2)
		}
		*all++
		try, other := *all, i%2 != first
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			name, list := user, &known
			if other {
				name, list = fmt.Sprint("nobody", try), &unknown
			}
			begun := time.Now()
			_, err := connectDeviceFrom(net.IPv4(127, 1, byte(try>>8), byte(try)), v.mqtt, fmt.Sprint("guesser", try), name, fmt.Sprint("guess ", try), true)
			took := time.Since(begun)
			if !errors.Is(err, errRefused) || !strings.HasSuffix(err.Error(), " 5") {
				v.t.Errorf("%s: %v", name, err)
			}
			mu.Lock()
			*list = append(*list, took)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(known)
	slices.Sort(unknown)
	return known, unknown
}
