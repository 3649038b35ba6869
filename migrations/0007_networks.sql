-- +goose Up

-- From which networks single users may connect: "192.168.1.0/24 fd00::/8", '' for any.
ALTER TABLE user ADD COLUMN networks TEXT NOT NULL DEFAULT '';
