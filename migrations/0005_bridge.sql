-- +goose Up

-- Connections to other brokers, carrying topics between them and this one.
CREATE TABLE bridge (
    name     TEXT    NOT NULL PRIMARY KEY,       -- for people, and in logs
    settings TEXT    NOT NULL,                   -- all the rest as JSON, see package bridge
    password TEXT    NOT NULL,                   -- for the other broker, which wants it in clear; '' for none
    revision INTEGER NOT NULL,                   -- counts changes, against two people overwriting each other
    changed  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
