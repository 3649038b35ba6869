-- +goose Up

-- Whom the broker keeps out, whoever they log in as.
CREATE TABLE ban (
    id         INTEGER PRIMARY KEY,
    kind       TEXT    NOT NULL,                 -- 'client', 'address'
    value      TEXT    NOT NULL,                 -- Client Identifier; address or network in its shortest form
    note       TEXT    NOT NULL,                 -- for people
    created    INTEGER NOT NULL,
    created_by TEXT    NOT NULL,                 -- for people
    UNIQUE (kind, value)
) STRICT;
