package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"hearthmq/ui"
)

// connect is the page that shows what is connected and what is not, and connects it.
type connect struct{ *Server }

func (s *Server) connectRoutes(r chi.Router) {
	c := connect{s}
	r.Get("/connect", s.handle(c.show))
	r.Post("/connect", s.handle(c.do))
	r.Get("/connect/confirm", s.handle(c.confirm))
	r.Get("/connect/take-over", s.handle(c.takeOver))
	r.Get("/connect/node-red", s.handle(c.nodeRED))
	r.Post("/connect/node-red", s.handle(c.makeFlow))
	r.Post("/connect/node-red/send", s.handle(c.sendFlow))
	r.Get("/live/connect", s.handle(c.live))
}

// wizardPath is where a device is connected with a user of its own.
const wizardPath = "/users/connect"

// home returns how Home Assistant stands; inApp is false outside its app.
func (c connect) home(ctx context.Context) (state HomeState, inApp bool) {
	if c.cfg.Home == nil {
		return HomeState{}, false
	}
	return c.cfg.Home.State(ctx), true
}

func (c connect) show(w http.ResponseWriter, r *http.Request) error {
	return c.page(w, r, http.StatusOK, "")
}

func (c connect) page(w http.ResponseWriter, r *http.Request, status int, problem string) error {
	v := c.connectView(r)
	v.Problem = problem
	return c.render(w, r, status, ui.ConnectPage(c.view(r, "Connect", "connect", "connect-page"), v))
}

func (c connect) connectView(r *http.Request) ui.ConnectView {
	home, inApp := c.home(r.Context())
	here := connectedProducts(c.cfg.Broker.AllSessions())
	v := ui.ConnectView{
		Cards:  []ui.ConnectCard{c.homeAssistantCard(home, inApp, here), c.zigbeeCard(home, inApp, here), c.nodeREDCard(home, inApp, here)},
		Wizard: wizardPath, Host: c.outsideHost(r),
	}
	v.Local = loopbackName(v.Host)
	for _, p := range listed {
		v.Products = append(v.Products, ui.ConnectProduct{Key: p.template, Icon: p.icon, Name: p.name, Path: devicePath(p.template), Clients: here[p.name]})
	}
	for _, e := range c.outside(r.Context()) {
		v.Where = append(v.Where, ui.EndpointView{Label: e.Label, Address: strconv.Itoa(e.Port), Encrypted: e.TLS})
	}
	v.Shape = shape(v.Cards)
	return v
}

// shape tells apart pages with other parts or buttons. Words may change without.
func shape(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// liveConnect is what connect-page.js asks for every few seconds.
type liveConnect struct {
	Shape    string            `json:"shape"`    // of the page Connect
	TakeOver string            `json:"takeOver"` // of the page of a take-over
	Products map[string]string `json:"products"`
}

func (c connect) live(w http.ResponseWriter, r *http.Request) error {
	v := c.connectView(r)
	l := liveConnect{Shape: v.Shape, TakeOver: c.takeOverView(r.Context()).Shape, Products: map[string]string{}}
	for _, p := range v.Products {
		l.Products[p.Key] = p.Words()
	}
	return c.renderJSON(w, l)
}

func (c connect) homeAssistantCard(home HomeState, inApp bool, here map[string]int) ui.ConnectCard {
	card := ui.ConnectCard{Key: "home-assistant", Icon: "home", Title: "Home Assistant"}
	say := func(kind, state, text string) { card.Kind, card.State, card.Text = kind, state, text }
	connected := here[productHomeAssistant] > 0
	openIntegration := ui.ConnectAction{Label: "Open MQTT in Home Assistant", Icon: "expand", Panel: "/config/integrations/integration/mqtt"}
	takeOver := home.Other != nil && (!home.Ours || home.Begun)
	switch {
	case connected && takeOver:
		say("success", "Connected", fmt.Sprintf("Home Assistant is here. Coming from %s is not finished yet.", home.Other.Name))
	case connected:
		say("success", "Connected", "Home Assistant sends and receives here.")
	case !inApp:
		say("neutral", "Not connected", "In Home Assistant: Settings, Devices & services, Add integration, MQTT. Enter this machine's address, the port, and a user that may do everything.")
		card.Actions = []ui.ConnectAction{{Label: "Make a user for it", Icon: "plus", Path: devicePath("home-assistant"), Primary: true}}
	case !home.Known:
		say("warning", "No answer", "Home Assistant's Supervisor has not answered yet. Devices are served all the same. "+ui.Sentence(home.Problem))
	case takeOver:
		say("warning", "Uses "+home.Other.Name, fmt.Sprintf("%s provides MQTT to Home Assistant and its apps. HearthMQ can take over, with everything that is retained there, one step at a time.", home.Other.Name))
	case home.Integration.Problem != "":
		say("warning", "No answer", "Home Assistant can't be asked at the moment; it may still be starting. "+ui.Sentence(home.Integration.Problem))
	case home.Integration.Waiting:
		say("warning", "One click away", "Home Assistant has found HearthMQ and waits for a word to set up its MQTT integration with it.")
		card.Actions = []ui.ConnectAction{{Label: "Connect Home Assistant", Icon: "connect", Step: string(StepConnect), Primary: true}}
	case home.Integration.SetUp && home.Integration.Host == home.Host:
		say("warning", "On its way", "Home Assistant's MQTT integration is set up with HearthMQ, and is not here at the moment. It tries again every few seconds.")
		card.Actions = []ui.ConnectAction{openIntegration}
	case home.Integration.SetUp:
		say("warning", "Uses another broker", fmt.Sprintf("Home Assistant's MQTT integration was set up as “%s”, and it is not connected here.", home.Integration.Title))
		card.Actions = []ui.ConnectAction{c.ask(StepPoint, home, "Connect it to HearthMQ", "connect", true), openIntegration}
	case home.Port == 0:
		say("error", "Not possible", "The MQTT port without encryption is closed, and Home Assistant can be told of no other (setting mqtt_address).")
	default:
		say("info", "Being found", "HearthMQ was announced to Home Assistant. It takes a minute at most until it is found there.")
	}
	if takeOver && !connected || takeOver && home.Begun {
		card.Actions = []ui.ConnectAction{{Label: "Take over from " + home.Other.Name, Icon: "in", Path: "/connect/take-over", Primary: true}}
	}
	return card
}

// zigbeeHelp is for those whose Zigbee2MQTT has a broker of its own.
var zigbeeHelp = []string{
	"In the app's Configuration, empty server, user and password below mqtt. With any of them filled in, Zigbee2MQTT does not ask Home Assistant for the broker.",
	"In configuration.yaml, which wins where the app's configuration is empty, delete the lines server, user and password below mqtt.",
	"In Zigbee2MQTT's own pages, Settings, MQTT shows the server that it uses.",
	"Restart Zigbee2MQTT: it looks for the broker only when it starts.",
}

func (c connect) zigbeeCard(home HomeState, inApp bool, here map[string]int) ui.ConnectCard {
	card := ui.ConnectCard{Key: "zigbee2mqtt", Icon: "zigbee", Title: "Zigbee2MQTT"}
	say := func(kind, state, text string) { card.Kind, card.State, card.Text = kind, state, text }
	app := home.app("Zigbee2MQTT")
	help := func() { card.Help, card.HelpLines = "It has a server setting of its own", zigbeeHelp }
	open := ui.ConnectAction{Label: "Open the app", Icon: "expand"}
	if app != nil {
		open.Panel = "/config/app/" + app.Slug + "/info"
	}
	switch {
	case here[productZigbee2MQTT] > 0:
		say("success", "Connected", "Zigbee2MQTT sends and receives here.")
	case !inApp:
		say("neutral", "Not connected", "Give it a user with rights to zigbee2mqtt/# and homeassistant/#, and enter server, user and password in its settings below MQTT.")
		card.Actions = []ui.ConnectAction{{Label: "Make a user for it", Icon: "plus", Path: devicePath("zigbee2mqtt")}}
	case !home.Ours:
		say("neutral", "Uses "+firstOf(home.providerName(), "another broker"), "It finds its broker through Home Assistant, and will find HearthMQ once that is where Home Assistant's apps find MQTT.")
		help()
	case app == nil:
		say("neutral", "Not connected", "Nothing to type: install and start its app, and it finds HearthMQ by itself.")
		help()
	case app.Running:
		say("warning", "Restart it", "Zigbee2MQTT runs and is not here. It looks for the broker when it starts: restart it, there is nothing to type.")
		card.Actions = []ui.ConnectAction{open}
		help()
	default:
		say("neutral", "Not running", "Nothing to type: start its app, and it finds HearthMQ by itself.")
		card.Actions = []ui.ConnectAction{open}
		help()
	}
	return card
}

func (c connect) nodeREDCard(home HomeState, inApp bool, here map[string]int) ui.ConnectCard {
	card := ui.ConnectCard{Key: "node-red", Icon: "flow", Title: "Node-RED"}
	make := ui.ConnectAction{Label: "Connect Node-RED", Icon: "connect", Path: "/connect/node-red", Primary: true}
	_, made := c.cfg.Directory.User(nodeREDUser)
	switch {
	case here[productNodeRED] > 0:
		card.Kind, card.State, card.Text = "success", "Connected", "Node-RED sends and receives here."
	case made:
		card.Kind, card.State = "warning", "Not here yet"
		card.Text = "It has its user. Import the flow and press Deploy in Node-RED, or have another one made."
		card.Actions = []ui.ConnectAction{make}
	default:
		card.Kind, card.State = "neutral", "Not connected"
		card.Text = "It does not look for a broker. HearthMQ makes a user and a flow with everything in it, which you paste there."
		card.Actions = []ui.ConnectAction{make}
	}
	if app := home.app("Node-RED"); inApp && app != nil && here[productNodeRED] == 0 {
		card.Actions = append(card.Actions, ui.ConnectAction{Label: "Open the app", Icon: "expand", Panel: "/app/" + app.Slug})
	}
	return card
}

// app returns an installed app by its name, one that runs before others.
func (h *HomeState) app(name string) *HomeApp {
	var found *HomeApp
	for i, a := range h.Apps {
		if (a.Name == name || strings.HasPrefix(a.Name, name+" ")) && (found == nil || a.Running && !found.Running) {
			found = &h.Apps[i]
		}
	}
	return found
}

// providerName is who provides MQTT to apps, for people; "" when nobody or we do.
func (h *HomeState) providerName() string {
	if h.Ours {
		return ""
	}
	if h.Other != nil {
		return h.Other.Name
	}
	return h.Provider
}

// do does one step and shows the page again, or why it could not.
func (c connect) do(w http.ResponseWriter, r *http.Request) error {
	form, err := parseForm(r)
	if err != nil {
		return err
	}
	step := HomeStep(form.Get("step"))
	said, known := stepDone[step]
	if !known || c.cfg.Home == nil {
		return badRequest("step %q", step)
	}
	ctx, cancel := context.WithTimeout(r.Context(), stepTimeout)
	defer cancel()
	if err := c.cfg.Home.Do(ctx, step); err != nil {
		c.log.Warn("connecting failed", "step", string(step), "actor", principalOf(r.Context()).name, "err", err)
		if step == StepConnect || step == StepPoint && !c.takingOver(r.Context()) {
			return c.page(w, r, http.StatusUnprocessableEntity, err.Error())
		}
		return c.takeOverPage(w, r, http.StatusUnprocessableEntity, err.Error())
	}
	c.log.Info("connected", "step", string(step), "actor", principalOf(r.Context()).name)
	if err := c.cfg.Accounts.Note(context.WithoutCancel(r.Context()), said.audit, "", "", ""); err != nil {
		return err
	}
	path := "/connect/take-over"
	if step == StepConnect || step == StepFinish || step == StepPoint && !c.takingOver(r.Context()) {
		path = "/connect"
	}
	return c.redirect(w, r, path+"?done="+said.done)
}

// stepTimeout bounds a step: copying a large home takes longest.
const stepTimeout = 5 * time.Minute

// stepDone is what is said after a step, as a key of doneText, and what the audit is told.
var stepDone = map[HomeStep]struct{ done, audit string }{
	StepConnect:    {"home-connected", "Home Assistant connected"},
	StepCopy:       {"copied", "retained messages of the other broker copied"},
	StepCopyBack:   {"copy-undone", "copied retained messages deleted"},
	StepRecord:     {"record-taken", "apps sent here for MQTT"},
	StepRecordBack: {"record-undone", "apps sent to the other broker again"},
	StepPoint:      {"home-pointed", "Home Assistant's integration sent here"},
	StepPointBack:  {"home-undone", "Home Assistant's integration sent to the other broker again"},
	StepPorts:      {"restarting", "ports of the other broker taken"},
	StepFinish:     {"take-over-finished", "take-over finished"},
}

// questions are asked before a step.
func (c connect) question(step HomeStep, home HomeState) (ui.ConfirmView, bool) {
	v := ui.ConfirmView{ID: "ask-" + string(step), Action: "/connect", Hidden: map[string]string{"step": string(step)}}
	switch step {
	case StepPoint:
		v.Title, v.Label, v.Plain = "Change Home Assistant's MQTT integration?", "Change it", true
		v.Text = "HearthMQ changes broker, port, user and password of the integration, as Reconfigure does in Home Assistant, which tries the new broker first. Devices and entities stay. " +
			"Encryption and other special settings of that connection are turned off: it does not leave the machine."
	case StepPorts:
		v.Title, v.Label, v.Plain = "Give HearthMQ the ports?", "Take the ports and restart", true
		v.Text = "HearthMQ takes the ports 1883, 1884, 8883 and 8884 of this machine and restarts, which takes some seconds. Your devices then find it where they found the other broker. " +
			"This page comes back by itself."
	default:
		return v, false
	}
	return v, true
}

// ask makes a button that asks first.
func (c connect) ask(step HomeStep, home HomeState, label, icon string, primary bool) ui.ConnectAction {
	q, _ := c.question(step, home)
	return ui.ConnectAction{Label: label, Icon: icon, Step: string(step), Primary: primary, Confirm: &q}
}

// confirm asks the question of a dialog for those without JavaScript.
func (c connect) confirm(w http.ResponseWriter, r *http.Request) error {
	home, inApp := c.home(r.Context())
	q, ok := c.question(HomeStep(r.URL.Query().Get("step")), home)
	if !ok || !inApp {
		c.notFound(w, r)
		return nil
	}
	back := "/connect"
	if c.takingOver(r.Context()) {
		back = "/connect/take-over"
	}
	return c.render(w, r, http.StatusOK, ui.ConfirmPage(c.view(r, "Connect", "connect"), q, back))
}
