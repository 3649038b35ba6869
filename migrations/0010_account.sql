-- +goose Up

-- Whether the user had an account here when the client came in last, 0: somebody else,
-- such as Home Assistant, let the user in. Of who came in before that is known where the
-- account is still there.
ALTER TABLE session ADD COLUMN account INTEGER NOT NULL DEFAULT 0;
UPDATE session SET account = 1 WHERE user_name IN (SELECT name FROM user);
