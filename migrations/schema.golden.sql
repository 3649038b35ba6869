-- What all migrations come to. Written by TestSchema in broker/sqlite; not run by anything.

CREATE TABLE api_token (
    id         INTEGER PRIMARY KEY,
    label      TEXT    NOT NULL UNIQUE,          -- for people; stands in the audit
    scope      TEXT    NOT NULL,                 -- 'read', 'admin'
    token_hash BLOB    NOT NULL UNIQUE,          -- SHA-256 of the token, which is random
    created    INTEGER NOT NULL,
    created_by TEXT    NOT NULL,                 -- for people
    used       INTEGER                           -- last use, to the hour; NULL: never
) STRICT;

CREATE TABLE audit (
    id         INTEGER PRIMARY KEY,              -- rising with time
    at         INTEGER NOT NULL,
    actor      TEXT    NOT NULL,                 -- user, or what acted in a user's place
    action     TEXT    NOT NULL,                 -- e.g. 'user created'
    object     TEXT    NOT NULL,                 -- name of what was changed
    before     TEXT    NOT NULL,                 -- as it was, for people
    after      TEXT    NOT NULL                  -- as it is now, for people
, via TEXT NOT NULL DEFAULT '') STRICT;

CREATE TABLE ban (
    id         INTEGER PRIMARY KEY,
    kind       TEXT    NOT NULL,                 -- 'client', 'address'
    value      TEXT    NOT NULL,                 -- Client Identifier; address or network in its shortest form
    note       TEXT    NOT NULL,                 -- for people
    created    INTEGER NOT NULL,
    created_by TEXT    NOT NULL,                 -- for people
    UNIQUE (kind, value)
) STRICT;

CREATE TABLE bridge (
    name     TEXT    NOT NULL PRIMARY KEY,       -- for people, and in logs
    settings TEXT    NOT NULL,                   -- all the rest as JSON, see package bridge
    password TEXT    NOT NULL,                   -- for the other broker, which wants it in clear; '' for none
    revision INTEGER NOT NULL,                   -- counts changes, against two people overwriting each other
    changed  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE deleted (
    kind TEXT    PRIMARY KEY,                    -- 'user', 'role'
    id   INTEGER NOT NULL                        -- user.id, role.id
) STRICT, WITHOUT ROWID;

CREATE TABLE inbound_qos2 (
    session_id INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    packet_id  INTEGER NOT NULL,                 -- Packet Identifier of the client's PUBLISH
    PRIMARY KEY (session_id, packet_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE learning (
    user_id INTEGER PRIMARY KEY REFERENCES user (id) ON DELETE CASCADE,
    begun   INTEGER NOT NULL,
    until   INTEGER NOT NULL,                     -- nothing is recorded from then on
    open    INTEGER NOT NULL,                     -- the user may do everything until then that no rule denies
    facts   TEXT    NOT NULL                      -- what it did so far, as JSON of package access
) STRICT;

CREATE TABLE login (
    id         INTEGER PRIMARY KEY,              -- names the row on pages, where the token must not appear
    token_hash BLOB    NOT NULL UNIQUE,          -- SHA-256 of the cookie's token
    user_name  TEXT    NOT NULL,                 -- who is logged in
    data       BLOB    NOT NULL,                 -- what package web keeps for it
    created    INTEGER NOT NULL,
    seen       INTEGER NOT NULL,                 -- when it was stored last, which happens once a minute of use
    expires    INTEGER NOT NULL                  -- from then on it counts no more
) STRICT;

CREATE INDEX login_by_expiry ON login (expires);

CREATE INDEX login_by_user ON login (user_name);

CREATE TABLE message (
    id                  INTEGER PRIMARY KEY,     -- given by the broker, rising
    topic_name          TEXT    NOT NULL,        -- Topic Name
    payload             BLOB    NOT NULL,        -- Application Message
    properties          BLOB    NOT NULL,        -- PUBLISH properties that travel with it, in wire form
    qos                 INTEGER NOT NULL,        -- QoS as published
    retain              INTEGER NOT NULL,        -- RETAIN as published
    expires             INTEGER,                 -- end of the Message Expiry Interval, NULL: none
    received            INTEGER,                 -- when the broker got it, NULL: not known
    publisher_client_id TEXT    NOT NULL,        -- who sent it, '' for the broker itself
    publisher_user      TEXT    NOT NULL         -- as whom, '' for anonymous clients
) STRICT;

CREATE TABLE migration (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);

CREATE TABLE outbound (
    session_id       INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    seq              INTEGER NOT NULL,           -- order within the session
    message_id       INTEGER NOT NULL,           -- message.id; no foreign key, because that would ask for an index
    qos              INTEGER NOT NULL,           -- QoS towards this session
    retain           INTEGER NOT NULL,           -- RETAIN towards this session
    subscription_ids TEXT    NOT NULL,           -- Subscription Identifiers, comma between them
    state            INTEGER NOT NULL,           -- 0 not sent, 1 PUBLISH sent, 2 PUBREL sent
    packet_id        INTEGER NOT NULL,           -- Packet Identifier, 0 in state 0
    PRIMARY KEY (session_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE pin (
    id         INTEGER PRIMARY KEY,
    topic_name TEXT    NOT NULL UNIQUE,          -- Topic Name
    created    INTEGER NOT NULL
) STRICT;

CREATE TABLE removal (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,                   -- who deleted them, as in audit
    what     TEXT    NOT NULL,                   -- what was deleted, for people
    notified INTEGER NOT NULL                    -- subscribers were told by empty messages
) STRICT;

CREATE TABLE removed (
    removal_id          INTEGER NOT NULL REFERENCES removal (id) ON DELETE CASCADE,
    topic_name          TEXT    NOT NULL,        -- as in retained, and so on
    payload             BLOB    NOT NULL,
    properties          BLOB    NOT NULL,
    qos                 INTEGER NOT NULL,
    expires             INTEGER,                 -- end of the Message Expiry Interval, NULL: none
    received            INTEGER,                 -- when the broker got it, NULL: not known
    publisher_client_id TEXT    NOT NULL,
    publisher_user      TEXT    NOT NULL, vouched INTEGER NOT NULL DEFAULT 0, publisher_account INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (removal_id, topic_name)
) STRICT;

CREATE TABLE retained (
    topic_name          TEXT    NOT NULL PRIMARY KEY,
    payload             BLOB    NOT NULL,        -- as in message, and so on
    properties          BLOB    NOT NULL,
    qos                 INTEGER NOT NULL,
    expires             INTEGER,
    received            INTEGER,                 -- when this value came first; sending it again writes nothing
    publisher_client_id TEXT    NOT NULL,
    publisher_user      TEXT    NOT NULL
, vouched INTEGER NOT NULL DEFAULT 0, publisher_account INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TRIGGER role_deleted AFTER DELETE ON role BEGIN
    INSERT INTO deleted VALUES ('role', OLD.id) ON CONFLICT (kind) DO UPDATE SET id = max(id, excluded.id);
END;

CREATE TABLE role (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    description TEXT    NOT NULL,                -- for people
    builtin     INTEGER NOT NULL,                -- comes with HearthMQ, can't be deleted
    revision    INTEGER NOT NULL                 -- as in user
) STRICT;

CREATE TABLE rule (
    id           INTEGER PRIMARY KEY,
    user_id      INTEGER REFERENCES user (id) ON DELETE CASCADE,
    role_id      INTEGER REFERENCES role (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,               -- order within the user or role, from 0
    effect       TEXT    NOT NULL,               -- 'allow', 'deny'
    scope        TEXT    NOT NULL,               -- 'publish', 'subscribe', 'both'
    topic_filter TEXT    NOT NULL,               -- Topic Filter, may hold %u and %c
    maximum_qos  INTEGER NOT NULL,               -- highest QoS, -1: any
    retain       INTEGER NOT NULL,               -- RETAIN of a PUBLISH: 0 any, 1 only with, 2 only without
    listener     TEXT    NOT NULL,               -- only clients of this listener, '': any
    network      TEXT    NOT NULL,               -- only clients of this network, as 192.168.1.0/24; '': any
    CHECK ((user_id IS NULL) <> (role_id IS NULL))
) STRICT;

CREATE INDEX rule_by_role ON rule (role_id) WHERE role_id IS NOT NULL;

CREATE INDEX rule_by_user ON rule (user_id) WHERE user_id IS NOT NULL;

CREATE TABLE sample (
    pin_id              INTEGER NOT NULL REFERENCES pin (id) ON DELETE CASCADE,
    seq                 INTEGER NOT NULL,        -- order within the topic
    received            INTEGER NOT NULL,        -- when the broker got it, in microseconds
    payload             BLOB    NOT NULL,        -- what is kept of it
    size                INTEGER NOT NULL,        -- bytes it had
    properties          BLOB    NOT NULL,        -- as in message
    qos                 INTEGER NOT NULL,        -- QoS as published
    retain              INTEGER NOT NULL,        -- RETAIN as published
    publisher_client_id TEXT    NOT NULL,        -- as in message
    publisher_user      TEXT    NOT NULL,        -- as in message
    PRIMARY KEY (pin_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    id               INTEGER PRIMARY KEY,        -- what the other tables call the session, never used twice at a time
    client_id        TEXT    NOT NULL UNIQUE,    -- Client Identifier
    user_name        TEXT    NOT NULL,           -- whose session it is, '' for anonymous clients
    listener         TEXT    NOT NULL,           -- name of the listener the client came in by last
    protocol_version INTEGER NOT NULL,           -- Protocol Level of the last CONNECT: 3, 4 or 5
    session_expiry   INTEGER NOT NULL,           -- Session Expiry Interval in seconds, 4294967295: never
    disconnected     INTEGER,                    -- when the Network Connection ended, NULL while it stands
    created          INTEGER NOT NULL            -- when the session began
, account INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE setting (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE subscription (
    session_id          INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    share_name          TEXT    NOT NULL,        -- Share Name, '' for an ordinary subscription
    topic_filter        TEXT    NOT NULL,        -- Topic Filter, without $share/name/
    maximum_qos         INTEGER NOT NULL,        -- granted QoS
    no_local            INTEGER NOT NULL,        -- Subscription Options, bit 2
    retain_as_published INTEGER NOT NULL,        -- Subscription Options, bit 3
    retain_handling     INTEGER NOT NULL,        -- Subscription Options, bits 4 and 5
    subscription_id     INTEGER NOT NULL,        -- Subscription Identifier, 0: none
    PRIMARY KEY (session_id, share_name, topic_filter)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER user_deleted AFTER DELETE ON user BEGIN
    INSERT INTO deleted VALUES ('user', OLD.id) ON CONFLICT (kind) DO UPDATE SET id = max(id, excluded.id);
END;

CREATE TABLE user (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,       -- User Name
    password_kind TEXT    NOT NULL,              -- 'chosen', 'generated', '' for none
    password_hash TEXT    NOT NULL,              -- PHC-like text
    secret        TEXT    NOT NULL,              -- password of a system user, which HearthMQ itself hands out; else ''
    disabled      INTEGER NOT NULL,              -- may not log in
    admin         INTEGER NOT NULL,              -- may use the web admin
    system        INTEGER NOT NULL,              -- made by HearthMQ: homeassistant, addons
    from_settings INTEGER NOT NULL,              -- from `logins` of the settings, read-only in the admin
    note          TEXT    NOT NULL,              -- for people
    version       INTEGER NOT NULL,              -- counts changes after which a proven password counts no more
    revision      INTEGER NOT NULL,              -- counts changes, against two people overwriting each other
    created       INTEGER NOT NULL,
    changed       INTEGER NOT NULL               -- when version or anything else changed last
, limits TEXT NOT NULL DEFAULT '', networks TEXT NOT NULL DEFAULT '') STRICT;

CREATE TABLE user_role (
    user_id  INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    role_id  INTEGER NOT NULL REFERENCES role (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX user_role_by_role ON user_role (role_id);

CREATE TABLE will (
    session_id          INTEGER PRIMARY KEY REFERENCES session (id) ON DELETE CASCADE,
    topic_name          TEXT    NOT NULL,        -- Will Topic
    payload             BLOB    NOT NULL,        -- Will Payload
    properties          BLOB    NOT NULL,        -- Will Properties that travel with the message, in wire form
    qos                 INTEGER NOT NULL,        -- Will QoS
    retain              INTEGER NOT NULL,        -- Will Retain
    message_expiry      INTEGER NOT NULL,        -- Message Expiry Interval in seconds from publication on, 0: none
    delay               INTEGER NOT NULL,        -- Will Delay Interval in milliseconds
    received            INTEGER,                 -- when the CONNECT came in, NULL: not known
    publisher_client_id TEXT    NOT NULL,        -- as in message
    publisher_user      TEXT    NOT NULL         -- as in message
) STRICT;
