package broker

// aliasTable holds the Topic Aliases that the server has set towards a client
// [MQTT-3.1.2-26]. The first topics that come get one; it is never reassigned,
// so a client that sees few topics often saves most of their bytes. conn.mu guards it.
type aliasTable struct {
	max uint16
	ids map[string]uint16
}

// aliasWorth is the length of a Topic Name from which an alias saves more than its property costs.
const aliasWorth = 6

// of returns the topic's alias, and whether the client knows it already; 0: none.
func (t *aliasTable) of(topic string) (id uint16, known bool) {
	if t.max == 0 || len(topic) < aliasWorth {
		return 0, false
	}
	if id, known = t.ids[topic]; known {
		return id, true
	}
	if len(t.ids) >= int(t.max) {
		return 0, false
	}
	if t.ids == nil {
		t.ids = make(map[string]uint16, t.max)
	}
	id = uint16(len(t.ids) + 1) // [MQTT-3.3.2-11] [MQTT-3.1.2-27]
	t.ids[topic] = id
	return id, false
}

// forget takes back the alias that of has just given.
func (t *aliasTable) forget(topic string) { delete(t.ids, topic) }
