package web

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hearthmq/broker"
	"hearthmq/broker/topic"
)

// discoveryFilters find the configurations of Home Assistant's MQTT discovery:
// <prefix>/<component>/[<node>/]<object>/config.
var discoveryFilters = []string{"homeassistant/+/+/config", "homeassistant/+/+/+/config"}

// components are those that Home Assistant makes entities of, and whether one
// needs a topic that it is commanded by, or else one that it tells its state by.
var components = map[string]string{
	"alarm_control_panel": "state_topic", "binary_sensor": "state_topic", "button": "command_topic", "camera": "topic", "climate": "",
	"cover": "", "device_automation": "topic", "device_tracker": "", "event": "state_topic", "fan": "command_topic", "humidifier": "",
	"image": "", "lawn_mower": "", "light": "command_topic", "lock": "command_topic", "notify": "command_topic", "number": "command_topic",
	"scene": "command_topic", "select": "command_topic", "sensor": "state_topic", "siren": "", "switch": "command_topic", "tag": "topic",
	"text": "command_topic", "update": "", "vacuum": "", "valve": "", "water_heater": "",
}

// abbreviations are those of the keys that are looked at.
var abbreviations = map[string]string{
	"stat_t": "state_topic", "cmd_t": "command_topic", "avty_t": "availability_topic", "avty": "availability", "t": "topic",
	"uniq_id": "unique_id", "dev": "device", "ids": "identifiers", "cns": "connections", "mf": "manufacturer", "mdl": "model",
	"cmps": "components", "p": "platform", "pl_not_avail": "payload_not_available",
}

// Sorts of problems, the worst first.
const (
	reasonBroken = "broken" // Home Assistant makes nothing of it
	reasonOrphan = "orphan" // whoever sent it is gone
	reasonSilent = "silent" // nothing comes from it
	reasonNote   = "note"   // worth knowing
)

type reason struct{ kind, text string }

// entity is one thing that a configuration announces, and what is wrong with it.
type entity struct {
	*entityConfig
	msg     *broker.Message
	reasons []reason
}

// entityConfig is what a configuration says of an entity; it never changes.
type entityConfig struct {
	component string
	name      string
	uniqueID  string
	states    []string // topics that it tells its state by
	available []string // topics that say whether it is there
}

func (e *entity) add(kind, text string) { e.reasons = append(e.reasons, reason{kind, text}) }

func (e *entity) is(kind string) bool {
	return slices.ContainsFunc(e.reasons, func(r reason) bool { return r.kind == kind })
}

// haDevice is what the entities of one device have in common.
type haDevice struct {
	key, name, model string
	entities         []*entity
	tally
	lower string // name, to sort by
}

// tally counts entities by what is wrong with them.
type tally struct{ broken, orphaned, silent int }

func (t *tally) count(e *entity) {
	t.broken += one(e.is(reasonBroken))
	t.orphaned += one(e.is(reasonOrphan))
	t.silent += one(e.is(reasonSilent))
}

func (t *tally) is(kind string) bool {
	switch kind {
	case reasonBroken:
		return t.broken > 0
	case reasonOrphan:
		return t.orphaned > 0
	}
	return kind == reasonSilent && t.silent > 0
}

// readDiscovery reads one configuration. The device is the same for all entities
// of it; a broken one is an entity without a device.
func readDiscovery(m *broker.Message) (d haDevice, list []*entity) {
	levels := strings.Split(m.Topic, "/")
	component, object := levels[1], levels[len(levels)-2]
	e := &entity{msg: m, entityConfig: &entityConfig{component: component, name: object}}
	d = haDevice{key: "topic:" + levels[1] + "/" + levels[2], name: levels[2]}
	var raw map[string]any
	if err := json.Unmarshal(m.Payload, &raw); err != nil || raw == nil {
		e.add(reasonBroken, "This is no valid JSON object, so Home Assistant passes it over")
		return d, []*entity{e}
	}
	config := expand(raw)
	if dev, ok := config["device"].(map[string]any); ok {
		d = deviceOf(expand(dev), d)
	}
	if component != "device" {
		e.read(config)
		return d, []*entity{e}
	}
	parts, _ := config["components"].(map[string]any)
	for _, key := range sortedKeys(parts) {
		part, _ := parts[key].(map[string]any)
		c := expand(part)
		x := &entity{msg: m, entityConfig: &entityConfig{name: key}}
		x.component, _ = c["platform"].(string)
		for _, shared := range []string{"availability", "availability_topic", "state_topic", "command_topic", "~"} {
			if _, own := c[shared]; !own && config[shared] != nil {
				c[shared] = config[shared]
			}
		}
		x.read(c)
		list = append(list, x)
	}
	if list == nil {
		e.add(reasonBroken, "It has no components")
		list = append(list, e)
	}
	return d, list
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// expand writes abbreviated keys out.
func expand(in map[string]any) map[string]any {
	out := make(map[string]any, len(in))
	for k, v := range in {
		if long, ok := abbreviations[k]; ok {
			k = long
		}
		out[k] = v
	}
	return out
}

func deviceOf(dev map[string]any, d haDevice) haDevice {
	id := firstText(dev["identifiers"])
	if id == "" {
		id = firstText(dev["connections"])
	}
	if id == "" {
		return d
	}
	d.key, d.name = "device:"+id, id
	if name, ok := dev["name"].(string); ok && name != "" {
		d.name = name
	}
	maker, _ := dev["manufacturer"].(string)
	model, _ := dev["model"].(string)
	d.model = strings.TrimSpace(maker + " " + model)
	return d
}

// firstText is a text, or the first one of a list; of a list in a list all of it.
func firstText(v any) string {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		text, _ := v.(string)
		return text
	}
	if pair, ok := list[0].([]any); ok { // connections: [["mac", "00:11:…"]]
		return strings.Trim(strings.Join(strings.Fields(fmt.Sprintln(pair...)), " "), "[]")
	}
	if text, ok := list[0].(string); ok {
		return text
	}
	return fmt.Sprint(list[0])
}

// read takes from a configuration what it says about topics.
func (e *entity) read(c map[string]any) {
	if name, ok := c["name"].(string); ok && name != "" {
		e.name = name
	}
	e.uniqueID, _ = c["unique_id"].(string)
	base, _ := c["~"].(string)
	commands := 0
	for _, key := range sortedKeys(c) {
		name, ok := c[key].(string)
		if !ok || !(strings.HasSuffix(key, "_topic") || strings.HasSuffix(key, "_t") || key == "topic") {
			continue
		}
		name = withBase(name, base)
		if err := topic.ValidName(name); err != nil {
			e.add(reasonBroken, fmt.Sprintf("Its %s can't be one: %s", strings.ReplaceAll(key, "_", " "), err))
			continue
		}
		switch {
		case strings.Contains(key, "availability"):
			e.available = append(e.available, name)
		case strings.Contains(key, "command") || strings.Contains(key, "cmd") || strings.HasPrefix(key, "set_"):
			commands++
		default:
			e.states = append(e.states, name)
		}
	}
	if list, ok := c["availability"].([]any); ok {
		for _, x := range list {
			if m, ok := x.(map[string]any); ok {
				if name, ok := expand(m)["topic"].(string); ok && topic.ValidName(withBase(name, base)) == nil {
					e.available = append(e.available, withBase(name, base))
				}
			}
		}
	}
	need, known := components[e.component]
	_, has := c[need]
	switch {
	case !known:
		e.add(reasonBroken, fmt.Sprintf("Home Assistant knows no %q", e.component))
	case need != "" && !has:
		e.add(reasonBroken, fmt.Sprintf("It has no %s, which a %s needs", strings.ReplaceAll(need, "_", " "), strings.ReplaceAll(e.component, "_", " ")))
	case len(e.states) == 0 && commands == 0 && !e.is(reasonBroken):
		e.add(reasonBroken, "It names no topic")
	}
	if e.uniqueID == "" && e.component != "device_automation" && e.component != "tag" {
		e.add(reasonNote, "No unique ID: Home Assistant can't group it by device, and it can't be changed there")
	}
}

// withBase puts the topic that "~" stands for into its place.
func withBase(name, base string) string {
	if base == "" {
		return name
	}
	if rest, ok := strings.CutPrefix(name, "~"); ok {
		return base + rest
	}
	if rest, ok := strings.CutSuffix(name, "~"); ok {
		return rest + base
	}
	return name
}

// offline reports whether a value of an availability topic says so.
func offline(value []byte) bool {
	text := strings.ToLower(strings.TrimSpace(string(value)))
	return text == "offline" || strings.HasPrefix(text, "{") && strings.Contains(strings.ReplaceAll(text, " ", ""), `"state":"offline"`)
}
