-- +goose Up

-- Whether the user had an account here who published what is retained, 0: somebody else,
-- such as Home Assistant, let the user in. Of what was published before that is known where
-- the account is still there.
ALTER TABLE retained ADD COLUMN publisher_account INTEGER NOT NULL DEFAULT 0;
ALTER TABLE removed ADD COLUMN publisher_account INTEGER NOT NULL DEFAULT 0;
UPDATE retained SET publisher_account = 1 WHERE publisher_user IN (SELECT name FROM user);
UPDATE removed SET publisher_account = 1 WHERE publisher_user IN (SELECT name FROM user);
