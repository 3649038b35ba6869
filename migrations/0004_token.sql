-- +goose Up

-- Tokens of the API. The token itself is told once, when it is made.
CREATE TABLE api_token (
    id         INTEGER PRIMARY KEY,
    label      TEXT    NOT NULL UNIQUE,          -- for people; stands in the audit
    scope      TEXT    NOT NULL,                 -- 'read', 'admin'
    token_hash BLOB    NOT NULL UNIQUE,          -- SHA-256 of the token, which is random
    created    INTEGER NOT NULL,
    created_by TEXT    NOT NULL,                 -- for people
    used       INTEGER                           -- last use, to the hour; NULL: never
) STRICT;
