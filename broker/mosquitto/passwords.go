package mosquitto

import (
	"io"
	"strings"

	"hearthmq/broker/access"
)

// Password is one line of a password_file.
type Password struct {
	User string
	Hash string // any that access.ParseHash reads
	File string
	Line int
}

// ReadPasswords reads a password_file. A line that gives no account with a password
// that can be checked is left out, with a Notice (case A14).
func ReadPasswords(file string, r io.Reader) ([]Password, []Notice) {
	n := &notices{file: file}
	var list []Password
	first := map[string]int{}
	newLineReader(r).each(n, Left, func(line int, text string) {
		if strings.HasPrefix(text, "#") || strings.TrimSpace(text) == "" {
			return
		}
		user, hash, ok := strings.Cut(text, ":")
		user, hash = strings.TrimSpace(user), strings.TrimSpace(hash)
		switch {
		case !ok:
			n.add(line, Left, "", "there is no colon between a user and a password: left out")
			return
		case access.ValidName(user) != "":
			n.add(line, Left, "", "user %s is left out: the name is not possible in HearthMQ: %s", quote(user), access.ValidName(user))
			return
		case first[user] > 0:
			n.add(line, Left, "", "user %s stands in line %d already: this line is left out", quote(user), first[user])
			return
		}
		first[user] = line
		if problem := hashProblem(hash); problem != "" {
			n.add(line, Left, "", "user %s is left out: %s", quote(user), problem)
			return
		}
		list = append(list, Password{User: user, Hash: hash, File: file, Line: line})
	})
	return list, n.all()
}

// hashProblem says in words why nobody could log in with the hash, "" when somebody can.
func hashProblem(hash string) string {
	if hash == "" {
		return "there is no password"
	}
	if _, err := access.ParseHash(hash); err != nil {
		if !strings.Contains(hash, "$") {
			return "the password stands there in clear; hash the file with mosquitto_passwd -U first"
		}
		return err.Error()
	}
	return ""
}
