package listen

import (
	"fmt"
	"time"
)

// When an owner hears that a certificate ends.
const (
	soonDays   = 30
	urgentDays = 7
)

// CertificateState sums up how a listener's certificate fares.
type CertificateState string

const (
	CertificateGood   CertificateState = "good"
	CertificateSoon   CertificateState = "soon"   // ends within 30 days
	CertificateUrgent CertificateState = "urgent" // ends within 7 days
	CertificateEnded  CertificateState = "ended"
	// CertificateBroken: the files as they are can't be used, or devices may not trust
	// them. Where the listener is open, the set before is in use.
	CertificateBroken CertificateState = "broken"
)

// CertificateStatus is what an owner may want to know about a listener's certificate.
type CertificateStatus struct {
	State   CertificateState
	File    string
	Name    string // whom it is for
	Ends    time.Time
	Days    int    // whole days left, negative once it has ended
	Problem string // one sentence, "" when all is well
}

// Reread looks at the files of the certificate now, whatever was looked at last, and says
// how it fares; ok is false where there is none.
func (o *Opened) Reread(now time.Time) (s CertificateStatus, ok bool) {
	if o.keys == nil {
		return CertificateStatus{}, false
	}
	o.keys.mu.Lock()
	o.keys.looked = time.Time{}
	o.keys.mu.Unlock()
	return o.keys.Status(now), true
}

// Status reads the files again when they changed and says how things stand.
func (c *certificates) Status(now time.Time) CertificateStatus {
	c.current(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status(now)
}

// status is Status with c.mu held.
func (c *certificates) status(now time.Time) CertificateStatus {
	leaf := c.good.leaf
	s := CertificateStatus{State: CertificateGood, File: c.files.CertFile, Name: leaf.Subject.CommonName, Ends: leaf.NotAfter}
	if len(leaf.DNSNames) > 0 {
		s.Name = leaf.DNSNames[0]
	}
	left := leaf.NotAfter.Sub(now)
	s.Days = int(left / (24 * time.Hour))
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	switch {
	case left < 0:
		s.State, s.Problem = CertificateEnded, fmt.Sprintf("The certificate has ended on %s, devices refuse it.", s.Ends.Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		s.State, s.Problem = CertificateBroken, fmt.Sprintf("The certificate is good from %s on only: is the clock right?", leaf.NotBefore.Format(time.DateOnly))
	case c.failed != nil:
		s.State, s.Problem = CertificateBroken, "The changed files can't be used, the set before is in use: "+c.failed.Error()+"."
	case c.good.chain != "":
		s.State, s.Problem = CertificateBroken, "The chain of the certificate does not fit: "+c.good.chain+"."
	case left < min(urgentDays*24*time.Hour, life/4): // some are made anew every week
		s.State = CertificateUrgent
	case left < min(soonDays*24*time.Hour, life/2):
		s.State = CertificateSoon
	}
	switch {
	case s.Problem != "":
	case s.State != CertificateGood:
		s.Problem = fmt.Sprintf("The certificate ends on %s.", s.Ends.Format(time.DateOnly))
	case !c.good.crlEnd.IsZero() && c.good.crlEnd.Before(now):
		s.Problem = fmt.Sprintf("The list of revoked certificates should have been replaced on %s. It counts on as it is.", c.good.crlEnd.Format(time.DateOnly))
	}
	return s
}

// warn tells the log of what Status has to say: once when a certificate is to end
// within 30 days, once a day from 7 days on, and once of every other problem. c.mu is held.
func (c *certificates) warn(now time.Time) {
	s := c.status(now)
	switch {
	case s.Problem == "":
		c.told = ""
		return
	case c.failed != nil: // refresh has told
		return
	case s.State == CertificateUrgent || s.State == CertificateEnded:
		if s.Problem == c.told && now.Sub(c.warned) < 24*time.Hour {
			return
		}
	case s.Problem == c.told:
		return
	}
	c.warned, c.told = now, s.Problem
	c.log.Warn(s.Problem, "file", s.File, "days", s.Days)
}
