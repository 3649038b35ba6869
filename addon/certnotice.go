package addon

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"hearthmq/broker/listen"
)

// CertificateNotices tell the owner in Home Assistant that a certificate of the
// encrypted ports ends soon, has ended or can't be used: once for each of it. Safe for
// concurrent use.
type CertificateNotices struct {
	// Notify and Panel are those of NoticesConfig; must not be nil.
	Notify func(ctx context.Context, id, title, text string) error
	Panel  func() string
	Log    *slog.Logger // must not be nil

	mu   sync.Mutex
	told map[string]listen.CertificateState // by file
}

// Tell is given how a certificate fares, as often as somebody looks. It blocks while
// Home Assistant is told; what could not be told is told the next time.
func (n *CertificateNotices) Tell(ctx context.Context, s listen.CertificateStatus) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told == nil {
		n.told = make(map[string]listen.CertificateState)
	}
	if s.State == listen.CertificateGood {
		delete(n.told, s.File)
		return
	}
	if n.told[s.File] == s.State {
		return
	}
	title := "The certificate of HearthMQ ends soon"
	switch s.State {
	case listen.CertificateEnded:
		title = "The certificate of HearthMQ has ended"
	case listen.CertificateBroken:
		title = "The certificate of HearthMQ can't be used as it is"
	}
	text := "`" + plain(s.File) + "`: " + markdownSafe.Replace(s.Problem) + " HearthMQ takes a new one over by itself once the file has changed; devices that check it need a good one to connect."
	if panel := n.Panel(); panel != "" {
		text += "\n\n[Open HearthMQ](" + panel + ")"
	}
	if err := n.Notify(ctx, "hearthmq_certificate", title, text); err != nil {
		if ctx.Err() == nil {
			n.Log.Debug("can't show a notification in Home Assistant", "err", err)
		}
		return
	}
	n.told[s.File] = s.State
}

// markdownSafe keeps what stands in a file from being read as Markdown.
var markdownSafe = strings.NewReplacer("`", "'", "[", "(", "]", ")", "<", "(", ">", ")", "*", "", "\n", " ")
