package access

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Place is where the device finds the broker.
type Place struct {
	Host string
	Port int
	TLS  bool
}

// Instructions are what a person does in the product. They hold the password.
type Instructions struct {
	Blocks []Block
	QR     string // what the code holds
	Notes  []string
}

// Block is one place of settings: Fields to type in, or Text to paste.
type Block struct {
	Title  string
	Fields [][2]string // label and value
	Text   string
}

// Instructions fills in how to set up an instance of the product. values are those
// that Fill returned.
func (t *Template) Instructions(user, password string, values map[string]string, at Place) Instructions {
	all := map[string]string{
		"user": user, "password": password, "host": at.Host, "port": strconv.Itoa(at.Port),
		"scheme": "mqtt", "tls": strconv.FormatBool(at.TLS), "address": net.JoinHostPort(at.Host, strconv.Itoa(at.Port)),
	}
	if at.TLS {
		all["scheme"] = "mqtts"
	}
	for key, value := range values {
		all[key] = value
	}
	var in Instructions
	for _, s := range t.Setup {
		b := Block{Title: s.Title}
		q := quotings[s.Format]
		for _, line := range s.Lines {
			if s.Format == "fields" {
				label, value, _ := strings.Cut(line, ": ")
				b.Fields = append(b.Fields, [2]string{label, q.fill(value, all)})
				continue
			}
			b.Text += q.fill(line, all) + "\n"
		}
		in.Blocks = append(in.Blocks, b)
	}
	for _, note := range t.Notes {
		in.Notes = append(in.Notes, plain.fill(note, all))
	}
	if at.TLS && !t.knowsTLS() {
		in.Notes = append(in.Notes, fmt.Sprintf("Port %d is encrypted: turn on TLS in %s. Unless the certificate is one of a public authority, it needs the certificate of the authority, too.", at.Port, t.Name))
	}
	if strings.HasSuffix(strings.ToLower(at.Host), ".local") {
		in.Notes = append(in.Notes, "Many small devices find no names that end in .local. If it does not connect, give it the IP address of this machine instead.")
	}
	in.QR = t.code(all)
	return in
}

// knowsTLS reports whether the lines of t say themselves that a port is encrypted.
func (t *Template) knowsTLS() bool {
	return slices.ContainsFunc(t.Setup, func(s Setup) bool {
		return slices.ContainsFunc(s.Lines, func(l string) bool { return strings.Contains(l, "{scheme}") || strings.Contains(l, "{tls}") })
	})
}

// code is what the QR code holds.
func (t *Template) code(all map[string]string) string {
	if t.QR == nil {
		u := url.URL{Scheme: all["scheme"], User: url.UserPassword(all["user"], all["password"]), Host: all["address"]}
		return u.String()
	}
	var lines []string
	for _, line := range t.QR.Lines {
		lines = append(lines, strings.TrimSpace(quotings[t.QR.Format].fill(line, all)))
	}
	text := strings.Join(lines, "")
	if t.QR.Encoding == "base64" {
		text = base64.StdEncoding.EncodeToString([]byte(text))
	}
	return t.QR.Prefix + text
}

// quoting makes of a value what stands for it in a file of some format.
type quoting func(key, value string) string

// quotings are the formats of Setup and QR.
var quotings = map[string]quoting{
	"fields": plain,
	"text":   plain,
	"env":    plain,
	"yaml":   quoteYAML,
	"json":   quoteJSON,
	"url":    quoteURL,
	"shell":  quoteShell,
}

var plain quoting = func(_, value string) string { return value }

// quoteYAML leaves alone what YAML reads as the text it is.
func quoteYAML(key, value string) string {
	switch key {
	case "port", "tls", "scheme", "address":
		return value
	}
	safe := value != "" && !strings.ContainsFunc(value, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-./", r)
	})
	letter := value != "" && (value[0] >= 'a' && value[0] <= 'z' || value[0] >= 'A' && value[0] <= 'Z')
	switch strings.ToLower(value) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		safe = false
	}
	if safe && letter {
		return value
	}
	return jsonText(value) // a JSON string is one of YAML, too
}

func quoteJSON(key, value string) string {
	if key == "port" || key == "tls" {
		return value
	}
	return jsonText(value)
}

func jsonText(s string) string {
	text, err := json.Marshal(s)
	if err != nil { // no string does that
		return fmt.Sprintf("%q", s)
	}
	return string(text)
}

func quoteURL(key, value string) string {
	if key == "user" || key == "password" {
		return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
	}
	return value
}

func quoteShell(_, value string) string {
	if value != "" && !strings.ContainsFunc(value, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-./:@", r)
	}) {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// fill puts values in place of {key}. What values hold is not looked at again, and a
// brace that begins no known key stays.
func (q quoting) fill(text string, values map[string]string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		key, after, closed := strings.Cut(rest, "}")
		value, known := values[key]
		if !closed || !known {
			b.WriteByte('{')
			text = rest
			continue
		}
		b.WriteString(q(key, value))
		text = after
	}
}
