-- +goose Up

-- What people look back at ---------------------------------------------------------

-- Topics whose messages are kept across restarts because somebody asked for it.
CREATE TABLE pin (
    id         INTEGER PRIMARY KEY,
    topic_name TEXT    NOT NULL UNIQUE,          -- Topic Name
    created    INTEGER NOT NULL
) STRICT;

-- Their messages, the newest few thousand of each.
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

-- Retained messages that were deleted in the admin and can be put back.
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
    publisher_user      TEXT    NOT NULL,
    PRIMARY KEY (removal_id, topic_name)
) STRICT;
