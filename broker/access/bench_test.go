package access_test

import (
	"fmt"
	"net/netip"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
)

// house is a Directory of 500 users with 20 rules each, half of them through roles.
func house(tb testing.TB, rule string) (*access.Directory, []*broker.Identity) {
	tb.Helper()
	d := access.NewDirectory(access.Policy{})
	repo := access.NewMemoryRepository()
	rules := func(n, from int) []access.Rule {
		var list []access.Rule
		for i := range n {
			r, err := access.ParseRule(fmt.Sprintf(rule, from+i))
			must(tb, err)
			list = append(list, r)
		}
		return list
	}
	_, err := repo.InsertRole(tb.Context(), access.Role{Name: "r", Rules: rules(10, 10)}, access.AuditEntry{})
	must(tb, err)
	var ids []*broker.Identity
	for i := range 500 {
		name := fmt.Sprint("user", i)
		u := access.User{Name: name, Version: 1, Roles: []string{"r"}, Rules: rules(10, 0)}
		_, err := repo.InsertUser(tb.Context(), u, access.AuditEntry{})
		must(tb, err)
		ids = append(ids, &broker.Identity{
			User: name, ClientID: "client" + name, Version: 1, Listener: "mqtt",
			Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1000),
		})
	}
	must(tb, access.NewAccounts(repo, d, nil, nil).Load(tb.Context()))
	return d, ids
}

var forms = []struct{ name, rule string }{
	{"user", "allow both home/%%u/device%d/#"},
	{"client", "allow both home/%%c/device%d/#"},
	{"conditions", "allow both home/%%c/device%d/# from=10.0.0.0/8 listener=mqtt"},
}

func BenchmarkAuthorize(b *testing.B) {
	for _, form := range forms {
		d, ids := house(b, form.rule)
		topics := make([]string, len(ids))
		for i, id := range ids {
			who := id.User
			if form.name != "user" {
				who = id.ClientID
			}
			topics[i] = "home/" + who + "/device19/state"
		}
		b.Run(form.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if !d.Authorize(ids[i], broker.Publish, topics[i]).Allow {
					b.Fatal("denied")
				}
				i = (i + 1) % len(ids)
			}
		})
	}
	d, ids := house(b, forms[0].rule)
	b.Run("subscribe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !d.Authorize(ids[0], broker.Subscribe, "home/#").Narrowed {
				b.Fatal("not narrowed")
			}
		}
	})
}

// BenchmarkFirstMessage is what rules add to a topic's first message, whatever the number of
// its receivers: the publisher's right, and the class of the topic among the filters of
// 500 users. A message to 500 receivers takes some 200 µs.
func BenchmarkFirstMessage(b *testing.B) {
	for _, form := range forms {
		d, ids := house(b, form.rule)
		for _, id := range ids {
			d.Authorize(id, broker.Receive, "home/x/device1/state")
		}
		topics := make([]string, 20_000)
		for i := range topics {
			topics[i] = fmt.Sprintf("home/r%05d/device%02d/state", i, i%20)
		}
		b.Run(form.name, func(b *testing.B) {
			b.ReportAllocs()
			var class []byte
			i := 0
			for b.Loop() {
				d.Authorize(ids[0], broker.Publish, topics[i])
				class, _ = d.AppendClass(class[:0], topics[i])
				i = (i + 1) % len(topics)
			}
		})
	}
}

// BenchmarkSnapshot is what a change of one user costs with 500 of them.
func BenchmarkSnapshot(b *testing.B) {
	d, _ := house(b, forms[0].rule)
	repo := access.NewMemoryRepository()
	a := access.NewAccounts(repo, d, nil, nil)
	must(b, a.Load(b.Context()))
	for i := range 500 {
		_, err := repo.InsertUser(b.Context(), access.User{Name: fmt.Sprint(i), Version: 1, Rules: rules20(b)}, access.AuditEntry{})
		must(b, err)
	}
	on := true
	for b.Loop() {
		note := fmt.Sprint(on)
		must(b, a.ChangeUser(b.Context(), "1", access.UserChange{Note: &note}))
		on = !on
	}
}

func rules20(tb testing.TB) []access.Rule {
	tb.Helper()
	var list []access.Rule
	for i := range 20 {
		r, err := access.ParseRule(fmt.Sprintf("allow both home/%%u/device%d/#", i))
		must(tb, err)
		list = append(list, r)
	}
	return list
}

func TestAuthorizeDoesNotAllocate(t *testing.T) {
	for _, form := range forms {
		d, ids := house(t, form.rule)
		id := ids[7]
		for _, name := range []string{"home/user7/device3/x", "home/clientuser7/device3/x", "elsewhere", "$SYS/broker/uptime"} {
			for _, act := range []broker.Action{broker.Publish, broker.Receive} {
				d.Authorize(id, act, name) // compiles the client's rules
				if n := testing.AllocsPerRun(100, func() { d.Authorize(id, act, name) }); n != 0 {
					t.Errorf("%s: %s %s allocates %v times", form.name, act, name, n)
				}
			}
		}
	}
}

// BenchmarkLogin is a login with a password that is proven already.
func BenchmarkLogin(b *testing.B) {
	d := access.NewDirectory(access.Policy{Hashing: access.Hashing{Cost: access.Cost{Time: 1, MemoryKiB: 64, Threads: 1}}})
	a := access.NewAccounts(access.NewMemoryRepository(), d, nil, nil)
	must(b, a.Open(b.Context()))
	_, generated, err := a.CreateUser(b.Context(), access.NewUser{Name: "generated", Generate: true})
	must(b, err)
	_, _, err = a.CreateUser(b.Context(), access.NewUser{Name: "chosen", Password: "x"})
	must(b, err)
	for user, password := range map[string]string{"generated": generated, "chosen": "x"} {
		b.Run(user, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := d.Authenticate(b.Context(), &broker.Credentials{User: user, HasPassword: true, Password: []byte(password)})
				must(b, err)
			}
		})
	}
}
