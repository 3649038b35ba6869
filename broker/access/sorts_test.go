package access

import (
	"fmt"
	"testing"
)

// cost is what verifying a list of hashes takes.
func costOf(hashes []Hash) (text string) {
	iterations, argon, quick := 0, map[Cost]int{}, 0
	for _, h := range hashes {
		switch h.scheme {
		case schemePBKDF2:
			iterations += h.iterations
		case schemeArgon2id:
			argon[h.cost]++
		case schemeSHA512:
			quick++
		}
	}
	return fmt.Sprint(iterations, argon, quick)
}

// case A17: a wrong password costs the same whoever is asked for, of however many places the
// users' hashes come, and no more than the costliest of each kind.
func TestWrongPasswordsCostTheSame(t *testing.T) {
	dummy := Hash{scheme: schemeArgon2id, cost: DefaultCost}
	users := []Hash{{}, dummy, {scheme: schemeSHA512}}
	for i := range 40 { // a dynamic-security.json may have another number for each client
		users = append(users, Hash{scheme: schemePBKDF2, iterations: 100 + 37*i})
	}
	for i := range maxSorts - 3 {
		users = append(users, Hash{scheme: schemeArgon2id, cost: Cost{Time: 1 + uint32(i), MemoryKiB: 4096, Threads: 1}})
	}
	sortsOf := func(users []Hash) (sorts []Hash) {
		for _, h := range users {
			if h.scheme != 0 {
				sorts = h.amongSorts(sorts)
			}
		}
		return costliestSorts(sorts)
	}
	sorts := sortsOf(users)
	want := costOf(besides(Hash{}, dummy, sorts))
	for _, own := range users {
		if got := costOf(append(besides(own, dummy, sorts), own)); got != want {
			t.Errorf("a user with %+v costs %s, nobody %s", own, got, want)
		}
	}
	if want != fmt.Sprint(100+37*39, map[Cost]int{DefaultCost: 1, {1, 4096, 1}: 1, {2, 4096, 1}: 1, {3, 4096, 1}: 1, {4, 4096, 1}: 1, {5, 4096, 1}: 1}, 1) {
		t.Errorf("a wrong password costs %s", want)
	}

	// Beyond maxSorts of Argon2id one is put in the place of the cheapest that counts.
	for i := range 50 {
		users = append(users, Hash{scheme: schemeArgon2id, cost: Cost{Time: 1, MemoryKiB: uint32(100 + i), Threads: 1}})
	}
	sorts = sortsOf(users)
	if len(sorts) != maxSorts {
		t.Errorf("%d sorts", len(sorts))
	}
	nobody := len(besides(Hash{}, dummy, sorts))
	for _, own := range users {
		rest := besides(own, dummy, sorts)
		n := len(rest)
		if own.scheme != 0 && (own.scheme != schemePBKDF2 || own.iterations == 100+37*39) {
			n++
		}
		if n != nobody {
			t.Errorf("a user with %+v costs %d hashes, nobody %d", own, n, nobody)
		}
	}
	if got := besides(Hash{scheme: schemeArgon2id, cost: Cost{Time: 9, MemoryKiB: 9}}, dummy, nil); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}
