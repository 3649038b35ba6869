"""Plays Home Assistant Core's MQTT client: home_assistant.py HOST PORT USER PASSWORD.

As Core's does: MQTT 5, clean start, 22 characters of base 62 as client identifier, keep alive 60, a will and a birth on
homeassistant/status that are not retained, one SUBSCRIBE for each wildcard filter of discovery with its SUBACK awaited,
the birth some time after the last discovery, and no DISCONNECT at the end. Prints one JSON object per line. Lines on
standard input: "restart" drops the connection and comes back as after a restart, "stop" ends.
"""

import json
import os
import queue
import random
import socket
import string
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.subscribeoptions import SubscribeOptions

host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
WAIT = 60  # seconds for what Core waits 10 for: the machine of the tests may be busy
QUIET = float(os.environ.get("QUIET", "0.5"))  # seconds without discovery before the birth; 5 in Core
COMPONENTS = ["binary_sensor", "button", "climate", "cover", "light", "number", "select", "sensor", "switch", "update"]
BASE62 = string.digits + string.ascii_letters


def say(event, **more):
    # One write: the network's thread says things, too.
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
    sys.stdout.flush()


class Core:
    """One run of Home Assistant."""

    def __init__(self):
        self.acknowledged = queue.Queue()
        self.discovered = queue.Queue()
        self.known = set()
        client_id = "".join(random.choices(BASE62, k=22))
        self.client = mqtt.Client(client_id, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        self.client.username_pw_set(user, password)
        self.client.will_set("homeassistant/status", "offline", 0, False)
        self.client.on_connect = self.on_connect
        self.client.on_subscribe = lambda c, u, mid, codes, p: self.acknowledged.put((mid, [x.value for x in codes]))
        self.client.on_message = self.on_message
        self.connected = queue.Queue()

    def on_connect(self, client, userdata, flags, reason, properties):
        self.connected.put(reason.value)

    def on_message(self, client, userdata, m):
        if m.topic.startswith("homeassistant/") and m.topic.endswith("/config"):
            self.discovered.put((m.topic, m.payload, m.retain))
        elif m.topic == "homeassistant/status":
            say("status", payload=m.payload.decode(), retain=bool(m.retain))
        else:
            say("state", topic=m.topic, payload=m.payload.decode(), retain=bool(m.retain))

    def run(self):
        self.client.connect(host, port, 60, clean_start=True)
        self.client.loop_start()
        code = self.connected.get(timeout=WAIT)
        if code in (4, 5, 134, 135, 140):
            say("reauth", code=code)
            sys.exit(3)
        if code != 0:
            say("refused", code=code)
            sys.exit(4)
        say("connected")
        for c in COMPONENTS:
            self.subscribe(f"homeassistant/{c}/+/config")
            self.subscribe(f"homeassistant/{c}/+/+/config")
        for f in ("homeassistant/device/+/config", "homeassistant/status", "tasmota/discovery/#", "esphome/discover/#"):
            self.subscribe(f)
        discovered = 0
        while True:
            try:
                topic, payload, retain = self.discovered.get(timeout=QUIET)
            except queue.Empty:
                break
            discovered += 1
            self.discover(topic, payload, retain)
        self.client.publish("homeassistant/status", "online", 0, False)
        say("birth", discovered=discovered)

    def subscribe(self, topic, qos=0):
        result, mid = self.client.subscribe(topic, options=SubscribeOptions(qos=qos))
        got, codes = self.acknowledged.get(timeout=WAIT)
        if result != 0 or got != mid or codes[0] > 2:
            say("subscribe failed", topic=topic, codes=codes)
            sys.exit(5)

    def discover(self, topic, payload, retain):
        if not payload:
            say("removed", topic=topic)
            return
        config = json.loads(payload)
        state = config.get("state_topic")
        if "device" in config and topic.startswith("homeassistant/device/"):
            say("device", topic=topic, retain=bool(retain), name=config["device"]["name"], entities=sorted(config["components"]))
        if state and state not in self.known:
            self.known.add(state)
            self.subscribe(state)

    def kill(self):
        """Ends as a stopped Core does: the socket goes, without DISCONNECT."""
        s = self.client.socket()
        if s:
            s.shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()


core = Core()
core.run()
lines = queue.Queue()
threading.Thread(target=lambda: [lines.put(x.strip()) for x in sys.stdin] + [lines.put("stop")], daemon=True).start()
while True:
    # What is discovered later is taken at once.
    try:
        core.discover(*core.discovered.get_nowait())
    except queue.Empty:
        pass
    try:
        command = lines.get(timeout=0.05)
    except queue.Empty:
        continue
    core.kill()
    if command != "restart":
        break
    core = Core()
    core.run()
