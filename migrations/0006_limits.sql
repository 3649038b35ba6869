-- +goose Up

-- Limits of single users, as people write them: "connections=2 messages=10".
ALTER TABLE user ADD COLUMN limits TEXT NOT NULL DEFAULT '';
