package main

import (
	"cmp"
	"context"
	"slices"

	"hearthmq/broker/access"
	"hearthmq/broker/bridge"
	"hearthmq/web"
)

// explainer answers why a device gets nothing, for the admin, the API and commands.
func (s *server) explainer() *access.Explainer {
	return &access.Explainer{
		Directory: s.directory, Denials: s.denials, Sessions: s.broker, Bans: s.bans, Topics: s.feed,
		Ports:    func() string { return web.Ports(s.endpoints()) },
		Closed:   s.listeners.closed,
		Carriers: s.carriers,
	}
}

// carriers are the bridges that bring messages in, and how they fare. Of a database in
// trouble the owner learns elsewhere.
func (s *server) carriers() []access.Carrier {
	list, err := s.bridges.List(context.Background()) // a row or two, from this machine
	if err != nil {
		return nil
	}
	status := s.bridges.Statuses()
	var all []access.Carrier
	for _, b := range list {
		c := access.Carrier{Name: b.Name}
		st := bridge.Status{State: bridge.Off}
		if i := slices.IndexFunc(status, func(st bridge.Status) bool { return st.Name == b.Name }); i >= 0 {
			st = status[i]
		}
		for _, t := range b.Topics {
			if t.In && !slices.Contains(st.Refused, t.Remote+t.Pattern) {
				c.Brings = append(c.Brings, t.Local+t.Pattern)
			}
		}
		switch st.State {
		case bridge.Connected, bridge.Resting:
		case bridge.Off:
			c.Problem = "it is switched off"
		default:
			c.Problem = cmp.Or(st.LastError, "it has not reached the other broker yet")
		}
		all = append(all, c)
	}
	return all
}
