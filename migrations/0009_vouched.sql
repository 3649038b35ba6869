-- +goose Up

-- Whether the broker itself, a part of it or its owner published what is retained. Who
-- did so before is not known for sure where there is no user: it counts as theirs.
ALTER TABLE retained ADD COLUMN vouched INTEGER NOT NULL DEFAULT 0;
ALTER TABLE removed ADD COLUMN vouched INTEGER NOT NULL DEFAULT 0;
UPDATE retained SET vouched = 1 WHERE publisher_user = '' OR publisher_client_id = 'HearthMQ admin';
UPDATE removed SET vouched = 1 WHERE publisher_user = '' OR publisher_client_id = 'HearthMQ admin';
