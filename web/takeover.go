package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"hearthmq/ui"
)

// takingOver reports whether there is another broker to come from.
func (c connect) takingOver(ctx context.Context) bool {
	home, inApp := c.home(ctx)
	return inApp && home.Other != nil && (home.Begun || !home.Ours)
}

func (c connect) takeOver(w http.ResponseWriter, r *http.Request) error {
	return c.takeOverPage(w, r, http.StatusOK, "")
}

func (c connect) takeOverPage(w http.ResponseWriter, r *http.Request, status int, problem string) error {
	v := c.takeOverView(r.Context())
	if v.Steps == nil {
		return c.redirect(w, r, "/connect") // there is nothing left to do
	}
	v.Problem = problem
	return c.render(w, r, status, ui.TakeOverPage(c.view(r, "Take over", "connect", "connect-page"), v))
}

// takeOverView is the way from another broker; without Steps when there is none.
func (c connect) takeOverView(ctx context.Context) ui.TakeOverView {
	home, inApp := c.home(ctx)
	if !inApp || home.Other == nil || home.Ours && !home.Begun {
		return ui.TakeOverView{}
	}
	v := ui.TakeOverView{From: home.Other.Name}
	here := connectedProducts(c.cfg.Broker.AllSessions())
	pointed := home.Integration.SetUp && home.Integration.Host == home.Host
	v.Steps = []ui.TakeOverStep{
		copyStep(home, pointed), recordStep(home), c.integrationStep(home, pointed, here), appsStep(home, here), stopStep(home), c.portsStep(home),
	}
	v.Shape = shape(v.Steps)
	return v
}

func copyStep(home HomeState, pointed bool) ui.TakeOverStep {
	s := ui.TakeOverStep{
		Key: "copy", Title: "Copy what is retained", Done: home.Copied != nil,
		Text: fmt.Sprintf("States and announcements that %s keeps for newcomers come here, read over MQTT with the login that it gives to apps. Nothing changes there.", home.Other.Name),
	}
	if home.Copied == nil {
		s.Actions = []ui.ConnectAction{{Label: "Copy", Icon: "copy", Step: string(StepCopy), Primary: true}}
		return s
	}
	n := home.Copied
	s.Result = fmt.Sprintf("%s found, %s new here, %s renewed, %s left as they are: a client of HearthMQ's said something newer.",
		ui.Plural(n.Found, "message", "messages"), ui.Count(uint64(n.Added)), ui.Count(uint64(n.Changed)), ui.Count(uint64(n.Kept)))
	if home.Other.Running {
		s.Actions = []ui.ConnectAction{{Label: "Copy again", Icon: "copy", Step: string(StepCopy)}}
	}
	if !home.Ours && !pointed {
		s.Actions = append(s.Actions, undo(StepCopyBack, "Delete the copies"))
	}
	return s
}

func undo(step HomeStep, label string) ui.ConnectAction {
	return ui.ConnectAction{Label: label, Icon: "back", Step: string(step)}
}

func recordStep(home HomeState) ui.TakeOverStep {
	s := ui.TakeOverStep{
		Key: "record", Title: "Let apps find HearthMQ", Done: home.Ours,
		Text: "Home Assistant tells its apps where MQTT is, with a user and a password. From this step on it names HearthMQ. Apps that run already notice when they start the next time.",
	}
	switch {
	case home.Ours:
		s.Result = "Home Assistant's apps find MQTT here."
		s.Actions = []ui.ConnectAction{undo(StepRecordBack, "Undo")}
	case home.Copied != nil:
		s.Actions = []ui.ConnectAction{{Label: "Let them find HearthMQ", Icon: "connect", Step: string(StepRecord), Primary: true}}
	}
	return s
}

func (c connect) integrationStep(home HomeState, pointed bool, here map[string]int) ui.TakeOverStep {
	s := ui.TakeOverStep{
		Key: "integration", Title: "Connect Home Assistant itself", Done: pointed || here[productHomeAssistant] > 0 && home.Ours,
		Text: "The MQTT integration gets HearthMQ as its broker. Devices, entities and automations stay as they are.",
	}
	switch {
	case s.Done:
		s.Result = "The integration is set up with HearthMQ."
		if here[productHomeAssistant] > 0 {
			s.Result = "Home Assistant is connected here."
		}
		if pointed && home.Other.Running {
			s.Actions = []ui.ConnectAction{undo(StepPointBack, "Undo")}
		}
	case home.Integration.Problem != "":
		s.Text += " At the moment Home Assistant does not answer: " + ui.Sentence(home.Integration.Problem)
	case home.Integration.Waiting && home.Ours:
		s.Actions = []ui.ConnectAction{{Label: "Connect Home Assistant", Icon: "connect", Step: string(StepConnect), Primary: true}}
	case home.Integration.SetUp && home.Ours:
		s.Actions = []ui.ConnectAction{c.ask(StepPoint, home, "Change the integration", "connect", true)}
	}
	return s
}

// appsStep tells which apps to restart. HearthMQ has no right to do it, and needs none.
func appsStep(home HomeState, here map[string]int) ui.TakeOverStep {
	s := ui.TakeOverStep{
		Key: "apps", Title: "Restart the apps",
		Text: "Each app that takes its broker from Home Assistant has to start once more. Those with a broker typed in need the new address there.",
	}
	done := home.Ours
	for _, a := range home.Apps {
		connected := here[strings.TrimSuffix(a.Name, " Edge")] > 0
		app := ui.TakeOverApp{Name: a.Name, Panel: "/config/app/" + a.Slug + "/info"}
		switch {
		case connected:
			app.Text, app.Panel = "Connected here", ""
		case !a.Running:
			app.Text = "Does not run; finds HearthMQ when it starts"
		case a.Service:
			app.Text, done = "Restart it", false
		default:
			app.Text, done = fmt.Sprintf("Enter %s, port %d as its broker, if it has one", home.Host, home.Port), false
		}
		s.Apps = append(s.Apps, app)
	}
	s.Done = done
	if len(s.Apps) == 0 {
		s.Result = "None of the apps that HearthMQ knows is installed. Others may be: look through yours."
	}
	return s
}

func stopStep(home HomeState) ui.TakeOverStep {
	s := ui.TakeOverStep{
		Key: "stop", Title: "Stop " + home.Other.Name, Done: !home.Other.Running,
		Text: "Copy once more just before, so that nothing is missed. Then stop its app, and turn off Start on boot and Watchdog: at its next start it would take Home Assistant's apps back.",
	}
	if home.Other.Running {
		s.Actions = []ui.ConnectAction{{Label: "Open " + home.Other.Name, Icon: "expand", Panel: "/config/app/" + home.Other.Slug + "/info"}}
	} else {
		s.Result = home.Other.Name + " does not run."
	}
	return s
}

// portsStep is the last one: devices come along.
func (c connect) portsStep(home HomeState) ui.TakeOverStep {
	usual := true
	for _, e := range c.cfg.Endpoints {
		port, open := home.HostPort[e.Port]
		if e.Port == home.Port && (!open || port != e.Port) {
			usual = false
		}
	}
	s := ui.TakeOverStep{
		Key: "ports", Title: "Take its ports", Done: usual && !home.Other.Running, Last: true,
		Text: "Devices in your network find HearthMQ where they found the other broker: at this machine's address, port 1883. Those with a user of Home Assistant just come back; " +
			"users of the other broker's own have to be brought over before. This is the last step, and it can't be undone here.",
	}
	if !s.Done {
		s.Actions = []ui.ConnectAction{{Label: "Bring over its users", Icon: "users", Path: importPath}}
	}
	switch {
	case home.Other.Running || !home.Ours:
	case !usual:
		s.Actions = append(s.Actions, c.ask(StepPorts, home, "Take the ports", "in", true))
	default:
		s.Result = "HearthMQ has them."
		s.Actions = []ui.ConnectAction{{Label: "Finish", Icon: "check", Step: string(StepFinish), Primary: true}}
	}
	return s
}
