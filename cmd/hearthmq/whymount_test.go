package main

import (
	"net"
	"net/url"
	"path/filepath"
	"testing"

	"hearthmq/broker"
	"hearthmq/broker/access"
	"hearthmq/broker/brokertest"
)

// In the place of Mosquitto: the users are those of its files, a listener may have a
// mount point, and the command and the admin find the cause all the same.
func TestWhyInMosquittosPlace(t *testing.T) {
	s := newStand(t)
	data, address := filepath.Join(s.dir, "data"), brokertest.FreeAddress(t)
	if r := command(t, data, ownerPassword, "user", "add", "anna", "--admin", "--password-stdin"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	s.args, s.environ = []string{"--data", data}, []string{"HEARTHMQ_WEB_ADDRESS=" + address}
	s.write("passwd", passwordFile(t, "ann:x\n"))
	s.write("acl", "user ann\ntopic readwrite home/#\ntopic read guests/home/#\ntopic write guests/home/#\n")
	s.up("allow_anonymous false\npassword_file @DIR/passwd\nacl_file @DIR/acl\nlistener @1\nlistener @2\nmount_point guests/\n")
	w := &whySite{T: t, testServer: &testServer{tb: t, dir: data, mqtt: net.JoinHostPort("127.0.0.1", s.ports[0]), log: s.log}}
	w.admin = newPerson(t, "http://"+address)
	w.admin.post("/login", url.Values{"username": {"anna"}, "password": {ownerPassword}})
	w.clicks()

	sender := w.in("lamp", "ann")
	sender.Publish("home/lamp", 1, true, "on").Wait()
	guest, err := w.device(1, "guest", "ann", "x", w.at("tcp://"+net.JoinHostPort("127.0.0.1", s.ports[1]), ""))
	if err != nil {
		t.Fatal(err)
	}
	guest.Subscribe("home/lamp", 1, nil).Wait()
	w.finds(access.Mounted, "guest", "waits for home/lamp, but it came in by a listener with the mount point guests/", "Messages come on home/lamp")

	guest.Publish("home/guest", 1, true, "1").Wait()
	w.in("display", "ann").Subscribe("home/guest", 1, nil).Wait()
	w.finds(access.NothingSent, "display", "Messages come on guests/home/guest, which has more in front", "mount point")

	w.in("curious", "ann").Subscribe("secret/#", 1, nil).Wait()
	w.in("meter", "ann").Publish("secret/x", 1, false, "1").Wait()
	w.finds(access.MayNotPublish, "meter", "secret/x")
	w.refused(11, "washer", "nobody", "x", nil)
	w.finds(access.Cause(broker.UnknownUser), "washer", "password_file")
	w.refused(12, "dryer", "ann", "wrong", nil)
	w.finds(access.Cause(broker.WrongPassword), "dryer")
	s.stop(t)
}
