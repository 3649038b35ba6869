-- +goose Up

-- By which way a change came: 'admin', 'home assistant', 'token', 'command line',
-- 'set-up', 'HearthMQ'; '' in rows from before there was this column.
ALTER TABLE audit ADD COLUMN via TEXT NOT NULL DEFAULT '';

-- Users who are watched for a time, so that rules can be proposed for them.
CREATE TABLE learning (
    user_id INTEGER PRIMARY KEY REFERENCES user (id) ON DELETE CASCADE,
    begun   INTEGER NOT NULL,
    until   INTEGER NOT NULL,                     -- nothing is recorded from then on
    open    INTEGER NOT NULL,                     -- the user may do everything until then that no rule denies
    facts   TEXT    NOT NULL                      -- what it did so far, as JSON of package access
) STRICT;
