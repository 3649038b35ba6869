-- +goose Up

-- The highest id that was deleted of users and of roles. None is given twice: a page of the
-- admin that was left open, or a script, would change somebody else.
CREATE TABLE deleted (
    kind TEXT    PRIMARY KEY,                    -- 'user', 'role'
    id   INTEGER NOT NULL                        -- user.id, role.id
) STRICT, WITHOUT ROWID;
-- +goose StatementBegin
CREATE TRIGGER user_deleted AFTER DELETE ON user BEGIN
    INSERT INTO deleted VALUES ('user', OLD.id) ON CONFLICT (kind) DO UPDATE SET id = max(id, excluded.id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER role_deleted AFTER DELETE ON role BEGIN
    INSERT INTO deleted VALUES ('role', OLD.id) ON CONFLICT (kind) DO UPDATE SET id = max(id, excluded.id);
END;
-- +goose StatementEnd
