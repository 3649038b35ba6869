package access_test

import (
	"strings"
	"testing"

	"hearthmq/broker/access"
)

// A listener that does not exist would make an allow useless and a deny an open door.
func TestRuleOfNoListener(t *testing.T) {
	inHouse(t, access.Policy{}, nil, ruleOfNoListener)
}

func ruleOfNoListener(h *home) {
	h.user("cam", "deny publish cam/# listener=mqtts")
	r, err := access.ParseRule("deny publish cam/# listener=mqttss")
	h.must(err)
	u, _ := h.dir.User("cam")
	err = h.accounts.ChangeUser(h.Context(), "cam", access.UserChange{Revision: u.Revision, Rules: &[]access.Rule{r}})
	if err == nil || !strings.Contains(err.Error(), `there is no listener "mqttss", only mqtt, ws, mqtts, wss, unix`) {
		h.Errorf("told %v", err)
	}
}
