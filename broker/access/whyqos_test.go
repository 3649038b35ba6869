package access_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"hearthmq/broker/access"
	"hearthmq/broker/packet"
)

// A rule that lowers the QoS to 0 has a device lose what comes while it is away, whatever it
// asked for and whether the rule was there first: it is told with that rule. Who gets QoS 1
// loses nothing, and who asked for QoS 0 under a rule without a bound has it as it wanted.
func TestWhyQoSIsLowered(t *testing.T) {
	for _, tt := range []struct {
		what          string
		before, later string
		asked         byte
		want          bool
	}{
		{"lowered when it asked", "allow both # qos<=0", "", 1, true},
		{"lowered since", "allow both #", "allow both # qos<=0", 1, true},
		{"asked for no more", "allow both # qos<=0", "", 0, true},
		{"lowered to 1", "allow both # qos<=1", "", 2, false},
		{"not lowered", "allow both #", "", 1, false},
		{"never asked for more", "allow both #", "", 0, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			inHouse(t, access.Policy{}, nil, func(h *home) {
				h.user("ann", tt.before)
				h.clean(packet.V311, "washer", "ann").Subscribe("home/#", tt.asked)
				synctest.Wait()
				if tt.later != "" {
					h.become("ann", tt.later)
				}
				list := h.explain.Why("washer").Findings
				i := slices.IndexFunc(list, func(f access.Finding) bool { return f.Cause == access.QoSLowered })
				if (i >= 0) != tt.want {
					t.Fatalf("%+v", list)
				}
				if i < 0 {
					return
				}
				if f := list[i]; f.Topic != "home/#" || !strings.Contains(f.Rule, "qos<=0") || !strings.Contains(f.Text, "home/# with QoS 0 only") || f.Advice == "" || f.ClientID != "washer" {
					t.Errorf("%+v", f)
				}
			})
		})
	}
}
