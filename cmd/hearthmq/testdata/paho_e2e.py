"""Uses a broker with Python's paho as a device does: python3 paho_e2e.py HOST PORT USER PASSWORD LEVEL.

LEVEL is the Protocol Level, 3, 4 or 5. Prints "ok" and exits with 0, or says what went wrong.
"""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

host, port, user, password, level = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
v5 = level == mqtt.MQTTv5
WAIT = 20  # seconds


def properties(packet, **values):
    if not v5:
        return None
    p = Properties(packet)
    for name, value in values.items():
        setattr(p, name, value)
    return p


class Device:
    """A client whose events can be waited for."""

    def __init__(self, client_id, will=None, clean=True, expiry=0):
        self.events = queue.Queue()
        self.messages = queue.Queue()
        how = {} if v5 else {"clean_session": clean}
        self.client = mqtt.Client(client_id, protocol=level, **how)
        self.client.username_pw_set(user, password)
        if will:
            self.client.will_set(will, "gone", 1, True)
        self.client.on_connect = lambda c, u, flags, rc, p=None: self.events.put(("connect", int(getattr(rc, "value", rc)), flags))
        self.client.on_subscribe = lambda c, u, mid, codes, p=None: self.events.put(("subscribe", [int(getattr(x, "value", x)) for x in codes]))
        self.client.on_unsubscribe = lambda *a: self.events.put(("unsubscribe",))
        self.client.on_publish = lambda c, u, mid: self.events.put(("publish", mid))
        self.client.on_message = lambda c, u, m: self.messages.put(m)
        more = {"clean_start": clean, "properties": properties(PacketTypes.CONNECT, SessionExpiryInterval=expiry)} if v5 else {}
        self.client.connect(host, port, 30, **more)
        self.client.loop_start()
        kind, rc, self.flags = self.events.get(timeout=WAIT)
        check(kind == "connect" and rc == 0, f"{client_id}: connect {rc}")

    def subscribe(self, name, qos):
        self.client.subscribe(name, qos)
        got = self.events.get(timeout=WAIT)
        check(got == ("subscribe", [qos]), f"subscribe {name}: {got}")

    def publish(self, name, payload, qos=1, retain=False, **props):
        more = {"properties": properties(PacketTypes.PUBLISH, **props)} if v5 and props else {}
        info = self.client.publish(name, payload, qos, retain, **more)
        got = self.events.get(timeout=WAIT)
        check(got == ("publish", info.mid), f"publish {name}: {got}")

    def next(self):
        return self.messages.get(timeout=WAIT)

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


def check(condition, text):
    if not condition:
        print(text)
        sys.exit(1)


def main():
    a = Device("py-a")
    for qos in (0, 1, 2):
        a.subscribe(f"py/q{qos}", qos)
    for qos in (0, 1, 2):
        a.publish(f"py/q{qos}", f"payload {qos}", qos)
        m = a.next()
        check((m.topic, m.payload, m.qos, m.retain) == (f"py/q{qos}", f"payload {qos}".encode(), qos, 0), f"QoS {qos}: {m.topic} {m.payload} {m.qos}")

    a.publish("py/ret", "kept", 1, True)
    a.subscribe("py/ret", 1)
    m = a.next()
    check((m.payload, m.retain) == (b"kept", 1), f"retained: {m.payload} {m.retain}")
    a.publish("py/ret", "", 1, True)
    check(a.next().payload == b"", "clearing is not delivered")

    if v5:
        a.subscribe("py/props", 1)
        a.publish("py/props", "x", 1, ResponseTopic="py/answer", CorrelationData=b"\x00\x01", ContentType="text/plain",
                  PayloadFormatIndicator=1, MessageExpiryInterval=60, UserProperty=[("a", "1"), ("a", "2"), ("b", "ü")])
        p = a.next().properties
        check(p.ResponseTopic == "py/answer" and p.CorrelationData == b"\x00\x01" and p.ContentType == "text/plain", f"properties {p}")
        check(p.PayloadFormatIndicator == 1 and 0 < p.MessageExpiryInterval <= 60, f"properties {p}")
        check(p.UserProperty == [("a", "1"), ("a", "2"), ("b", "ü")], f"user properties {p.UserProperty}")

    a.client.unsubscribe("py/q1")
    check(a.events.get(timeout=WAIT) == ("unsubscribe",), "unsubscribe")
    a.publish("py/q1", "nobody wants it")
    a.publish("py/q0", "this one is wanted", 0)
    check(a.next().payload == b"this one is wanted", "a message after UNSUBSCRIBE")

    # A will, when the connection breaks without DISCONNECT.
    a.subscribe("py/will", 1)
    b = Device("py-b", will="py/will")
    b.client._sock.shutdown(2)
    m = a.next()
    check((m.topic, m.payload) == ("py/will", b"gone"), f"will: {m.topic} {m.payload}")
    b.client.loop_stop()

    # A session that stays.
    c = Device("py-c", clean=False, expiry=3600)
    c.subscribe("py/later", 1)
    c.stop()
    for i in range(30):  # more than fit into one Receive Maximum
        a.publish("py/later", f"{i}", 2 if i % 2 else 1)
    c = Device("py-c", clean=False, expiry=3600)
    check(c.flags["session present"] == 1 or level == 3, f"session present {c.flags}")
    got = [int(c.next().payload) for _ in range(30)]
    check(got == list(range(30)), f"queued: {got}")
    c.stop()

    # The connection breaks: it comes back by itself and gets what it missed.
    d = Device("py-d", clean=False, expiry=3600)
    d.subscribe("py/back", 1)
    if v5:
        d.client._clean_start = False  # paho 1.6 means every connection by what was said at the first
    d.client.reconnect_delay_set(1, 1)
    d.client._sock.shutdown(2)
    a.publish("py/back", "while away")
    kind, rc, _ = d.events.get(timeout=WAIT)
    check((kind, rc) == ("connect", 0), f"reconnect: {kind} {rc}")
    check(d.next().payload == b"while away", "missed after the break")
    d.stop()

    # Take-over: the second of the same name throws the first out.
    first = Device("py-same")
    first.client.on_disconnect = lambda *a: first.events.put(("gone",))
    first.client.reconnect_delay_set(60, 60)
    second = Device("py-same")
    check(first.events.get(timeout=WAIT) == ("gone",), "the first stays")
    second.subscribe("py/x", 0)
    second.stop()
    first.client.loop_stop()
    a.stop()
    print("ok")


main()
