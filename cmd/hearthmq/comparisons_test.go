package main

// Reasons for which HearthMQ answers otherwise than Mosquitto 2.0.
const (
	sinceOwner  = "a session belongs to its user: nobody else can take it over (case A10)"
	sinceWill   = "a will is refused with the CONNECT that sets it, not when it is due (case A7)"
	since21     = "Mosquitto 2.1 refuses a 3.1.1 client that wants a longer keep alive than max_keepalive, 2.0 does not"
	sinceMount  = "2.0.11 does not take the mount_point off again; its manual and later versions do"
	sinceSource = "check_retain_source asks for the publisher's right of now; 2.0.11 does not ask after a reload"
)

var comparisons = []*comparison{
	{
		name: "anonymous",
		conf: "listener @1\nallow_anonymous true\n",
		script: `
			a1 connect id=a
			a1 sub # qos=2
			b1 connect id=b v=5
			b1 pub t qos=1
			a1 recv
			b1 pub t qos=2 retain
			a1 recv
			c1 connect id=c user=bob pass=whatever
			c1 sub t qos=1
			c1 recv
			d1 connect id=
			e1 connect id= keep
			f1 connect id= v=3
		`,
	},
	{
		name:  "nobody without a name",
		conf:  "listener @1\nallow_anonymous false\npassword_file @DIR/passwords\n",
		files: map[string]string{"passwords": "alice:wonder\nbob:secret\n"},
		script: `
			a1 connect id=a
			a1 connect id=a user=alice
			a1 connect id=a user=alice pass=wrong
			a1 connect id=a user=alice pass=wonder
			a1 connect id=a user=eve pass=wonder
			a1 connect id=a v=5
			a1 connect id=a v=5 user=bob pass=wrong
			a1 connect id=a v=5 user=bob pass=secret
		`,
	},
	{
		name: "no password file and no anonymous clients",
		conf: "listener @1\nallow_anonymous false\n",
		script: `
			a1 connect id=a
			a1 connect id=a user=alice pass=wonder
		`,
	},
	{
		name:  "names and anonymous clients",
		conf:  "listener @1\nallow_anonymous true\npassword_file @DIR/passwords\n",
		files: map[string]string{"passwords": "alice:wonder\n"},
		differ: map[string]string{
			"b1 connect id=a user=alice pass=wonder": sinceOwner,
		},
		script: `
			a1 connect id=a
			b1 connect id=a user=alice pass=wonder
			c1 connect id=c user=alice pass=wonder
			c1 connect id=c user=alice pass=wrong
			d1 connect id=d user=eve pass=wonder
		`,
	},
	{
		name: "acl_file",
		conf: "listener @1\nallow_anonymous true\npassword_file @DIR/passwords\nacl_file @DIR/acl\n",
		files: map[string]string{"passwords": "alice:a\nbob:b\nodd+name:c\n", "acl": `
# before any user: clients without a name
topic read public/#
topic write inbox/anonymous
user alice
topic readwrite home/#
topic deny home/secret/#
topic read home/secret/open
topic public/both
user bob
topic write only/write
topic read only/read
pattern readwrite users/%u/#
pattern write clients/%c/state
pattern deny users/bob/private
`},
		differ: map[string]string{
			"w1 connect id=w user=bob pass=b will=elsewhere": sinceWill,
		},
		script: `
			root1 connect id=root user=alice pass=a
			root1 sub # qos=1
			n1 connect id=n1
			n1 sub # qos=1
			b1 connect id=b1 user=bob pass=b
			b1 sub # qos=1
			root1 pub public/both qos=1
			root1 pub public/none qos=1
			root1 pub home/x qos=1
			root1 pub home/secret/x qos=1
			root1 pub home/secret/open qos=1
			root1 pub users/alice/x qos=1
			root1 pub users/bob/x qos=1
			root1 pub clients/root/state qos=1
			root1 pub clients/other/state qos=1
			b1 pub only/write qos=1
			b1 pub only/read qos=1
			b1 pub users/bob/private qos=1
			b1 pub users/bob/public qos=1
			n1 pub inbox/anonymous qos=1
			n1 pub home/x qos=1
			n1 recv
			root1 recv
			b1 recv
			b1 sub home/secret/# qos=1
			a51 connect id=a5 v=5 user=alice pass=a
			a51 pub home/y qos=1
			a51 pub elsewhere qos=1
			a51 pub elsewhere qos=2
			w1 connect id=w user=bob pass=b will=elsewhere
			x1 connect id=c+d user=bob pass=b
			x1 pub users/bob/x qos=1
			x1 pub only/write qos=1
			root1 recv
		`,
	},
	{
		name: "limits",
		conf: `listener @1
allow_anonymous true
max_inflight_messages 2
max_queued_messages 3
message_size_limit 100
max_packet_size 1000
max_keepalive 30
allow_zero_length_clientid false
`,
		differ: map[string]string{
			"a1 connect id=a keepalive=100": since21,
		},
		script: `
			a1 connect id=a v=5 keepalive=20
			a1 connect id=a v=5 keepalive=100
			a1 connect id=a keepalive=20
			a1 connect id=a keepalive=100
			a1 connect id=
			a1 connect id= v=5 keepalive=20
			p1 connect id=p keepalive=20
			p1 sub gone/# qos=0
			s1 connect id=s keep keepalive=20 will=gone/s
			s1 sub q/# qos=1
			s1 close
			p1 await 1
			p1 pub q/1 qos=1 payload=1
			p1 pub q/2 qos=1 payload=2
			p1 pub q/3 qos=1 payload=3
			p1 pub q/4 qos=1 payload=4
			p1 pub q/5 qos=1 payload=5
			p1 pub q/6 qos=1 payload=6
			s1 connect id=s keep keepalive=20
			s1 recv
			p1 pub t qos=1 size=100
			p1 pub t qos=1 size=101
			p1 pub t qos=2 size=101
			p51 connect id=p5 v=5 keepalive=20
			p51 pub t qos=1 size=101
			p51 pub t qos=1 size=900
			p51 pub t qos=1 size=1000
		`,
	},
	{
		name: "listeners",
		conf: `per_listener_settings true
listener @1
allow_anonymous true
max_qos 1
max_connections 2
mount_point attic/
listener @2
allow_anonymous false
password_file @DIR/passwords
acl_file @DIR/acl
use_username_as_clientid true
listener @3
allow_anonymous true
auto_id_prefix lamp-
`,
		files: map[string]string{"passwords": "alice:wonder\n", "acl": "user alice\ntopic read attic/#\ntopic write cellar/#\n"},
		differ: map[string]string{
			"a1 pub lamp qos=1": sinceMount,
			"a1 recv":           sinceMount,
		},
		script: `
			a1 connect id=a v=5
			a1 sub # qos=2
			c3 connect id=c
			c3 sub # qos=2
			b2 connect id=b user=alice pass=wonder v=5
			b2 sub # qos=2
			a1 pub lamp qos=1
			a1 recv
			b2 recv
			c3 recv
			b2 pub cellar/x qos=1
			b2 pub attic/x qos=1
			a1 recv
			c3 recv
			c3 pub attic/y qos=2
			a1 recv
			b2 recv
			f1 connect id=f
			g1 connect id=g
			b2 connect id=b
			d3 connect id= v=5
			a1 pub two qos=2
		`,
	},
	{
		name: "retained",
		conf: "listener @1\nallow_anonymous true\npassword_file @DIR/passwords\nacl_file @DIR/acl\n",
		files: map[string]string{
			"passwords": "alice:wonder\nbob:b\n",
			"acl":       "topic read #\nuser alice\ntopic readwrite #\nuser bob\ntopic readwrite #\n",
		},
		later: map[string]string{"acl": "topic read #\nuser alice\ntopic readwrite #\nuser bob\ntopic read #\n"},
		may:   map[string]string{"d1 recv": sinceSource},
		script: `
			a1 connect id=a user=alice pass=wonder
			a1 pub r/alice retain qos=1
			b1 connect id=b user=bob pass=b
			b1 pub r/bob retain qos=1
			c1 connect id=c
			c1 sub r/alice qos=1
			c1 sub r/bob qos=1
			c1 recv
			-- reload
			d1 connect id=d
			d1 sub r/alice qos=1
			d1 sub r/bob qos=1
			d1 recv
			b1 pub r/bob retain qos=1
			c1 recv
		`,
	},
	{
		name: "no retained messages",
		conf: "listener @1\nallow_anonymous true\nretain_available false\n",
		script: `
			a1 connect id=a v=5
			a1 pub t qos=0
			a1 pub t qos=1 retain
		`,
	},
	{
		name: "queue_qos0_messages and upgrade_outgoing_qos",
		conf: "listener @1\nallow_anonymous true\nqueue_qos0_messages true\nupgrade_outgoing_qos true\n",
		script: `
			b1 connect id=b
			b1 sub gone/# qos=0
			a1 connect id=a keep will=gone/a
			a1 sub q0 qos=0
			a1 sub q1 qos=1
			b1 pub q1
			a1 recv
			a1 close
			b1 await 1
			b1 pub q0 qos=1 payload=1
			b1 pub q0 qos=0 payload=2
			a1 connect id=a keep
			a1 recv
		`,
	},
	{
		name: "persistence",
		conf: "listener @1\nallow_anonymous true\npersistence true\npersistence_location @DIR/\npersistence_file kept.db\n",
		script: `
			b1 connect id=b
			b1 sub gone/# qos=0
			a1 connect id=a keep will=gone/a
			a1 sub q/# qos=2
			a1 close
			b1 await 1
			b1 pub q/1 qos=1 payload=1
			b1 pub q/2 qos=2 payload=2
			b1 pub r retain qos=1 payload=kept
			-- restart
			a1 connect id=a keep
			a1 await 2
			c1 connect id=c
			c1 sub r qos=1
			c1 recv
		`,
	},
	{
		name: "no persistence",
		conf: "listener @1\nallow_anonymous true\n",
		script: `
			a1 connect id=a keep
			a1 sub q qos=1
			a1 pub r retain qos=1
			-- restart
			a1 connect id=a keep
			a1 sub r qos=1
			a1 recv
		`,
	},
	{
		name:  "SIGHUP",
		conf:  "listener @1\nallow_anonymous true\npassword_file @DIR/passwords\nacl_file @DIR/acl\n",
		files: map[string]string{"passwords": "alice:a\nbob:b\ncarol:c\n", "acl": "topic #\nuser alice\ntopic #\nuser bob\ntopic #\nuser carol\ntopic #\n"},
		later: map[string]string{
			"mosquitto.conf": "user root\nlistener @1\nallow_anonymous false\npassword_file @DIR/passwords\nacl_file @DIR/acl\nmax_queued_messages 10\n",
			"passwords":      "alice:a\nbob:other\ndave:d\n", "acl": "user alice\ntopic #\nuser bob\ntopic #\nuser dave\ntopic read #\n",
		},
		script: `
			a1 connect id=a user=alice pass=a
			b1 connect id=b user=bob pass=b
			c1 connect id=c user=carol pass=c
			n1 connect id=n
			-- reload
			a1 pub t qos=1
			b1 pub t qos=1
			c1 pub t qos=1
			n1 pub t qos=1
			d1 connect id=d user=dave pass=d
			d1 sub # qos=0
			d1 pub t qos=1
			a1 pub u qos=1
			d1 recv
			e1 connect id=e
			b1 connect id=b user=bob pass=b
			b1 connect id=b user=bob pass=other
		`,
	},
	{
		name: "unix socket",
		conf: "listener 0 @DIR/mqtt.sock\nallow_anonymous true\n",
		script: `
			a9 connect id=a v=5
			a9 sub t qos=1
			a9 pub t qos=1
			a9 recv
		`,
	},
	{
		name: "TLS and client certificates",
		conf: `per_listener_settings true
listener @1
allow_anonymous true
cafile @DIR/ca.crt
certfile @DIR/server.crt
keyfile @DIR/server.key
listener @2
cafile @DIR/ca.crt
certfile @DIR/server.crt
keyfile @DIR/server.key
crlfile @DIR/crl.pem
require_certificate true
use_identity_as_username true
acl_file @DIR/acl
listener @3
cafile @DIR/ca.crt
certfile @DIR/server.crt
keyfile @DIR/server.key
require_certificate true
allow_anonymous false
password_file @DIR/passwords
`,
		files: map[string]string{"acl": "user alice\ntopic readwrite home/#\n", "passwords": "alice:wonder\n"},
		tls:   map[string]string{"a1": "", "b1": "alice", "c2": "alice", "d2": "bob", "e2": "", "f3": "alice", "g3": ""},
		script: `
			a1 connect id=a v=5
			b1 connect id=b
			c2 connect id=c
			c2 sub # qos=1
			c2 pub home/x qos=1
			c2 recv
			c2 pub other qos=1
			c2 recv
			d2 connect id=d
			e2 connect id=e
			f3 connect id=f
			f3 connect id=f user=alice pass=wonder
			f3 connect id=f user=alice pass=wrong
			g3 connect id=g user=alice pass=wonder
			x1 connect id=plain
		`,
	},
}
