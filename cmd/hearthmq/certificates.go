package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strconv"
	"time"

	"hearthmq/broker/listen"
	"hearthmq/broker/regular"
	"hearthmq/web"
)

// watchCertificate looks at the files of a port's certificate once a minute until ctx
// ends, so that time and changed files count also while nobody connects: warnings are
// logged, and clients whose certificate was revoked or has ended are disconnected.
// alarm may be nil.
func watchCertificate(ctx context.Context, o *listen.Opened, alarm func(context.Context, listen.CertificateStatus)) {
	tick := time.NewTicker(certificateInterval)
	defer tick.Stop()
	for {
		if s, ok := o.Certificate(time.Now()); ok && alarm != nil {
			alarm(ctx, s)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// certificateInterval is how often certificates are looked at, at least.
const certificateInterval = time.Minute

// tellCertificates keeps $SYS/broker/certificate/days (the least of all that are in use) and
// …/state (the worst) up to date until ctx ends. Without a certificate there is neither.
func (s *server) tellCertificates(ctx context.Context) {
	tick := time.NewTicker(certificateInterval)
	defer tick.Stop()
	for {
		days, state := "", ""
		if first, worst, ok := summary(s.ports(), time.Now()); ok {
			days, state = strconv.Itoa(first.Days), string(worst)
		}
		s.broker.SetSys("certificate/days", days)
		s.broker.SetSys("certificate/state", state)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// certificateStates are all there are, the best first.
var certificateStates = []listen.CertificateState{
	listen.CertificateGood, listen.CertificateSoon, listen.CertificateUrgent, listen.CertificateBroken, listen.CertificateEnded,
}

// summary is which of the certificates in use ends first, and the worst state of all; ok is
// false where there is none.
func summary(ports []*listen.Opened, now time.Time) (first listen.CertificateStatus, worst listen.CertificateState, ok bool) {
	for _, o := range ports {
		s, has := o.Certificate(now)
		if !has {
			continue
		}
		if !ok || s.Ends.Before(first.Ends) {
			first = s
		}
		if slices.Index(certificateStates, s.State) > slices.Index(certificateStates, worst) {
			worst = s.State
		}
		ok = true
	}
	return first, worst, ok
}

// certificatesOf describes those of open ports, one for each file.
func certificatesOf(ports []*listen.Opened) []web.Certificate {
	var all []web.Certificate
	for _, o := range ports {
		status, ok := o.Certificate(time.Now())
		if !ok {
			continue
		}
		port := label(o.Config)
		if n := portOf(o.Listener); n > 0 {
			port += " (" + strconv.Itoa(n) + ")"
		}
		if at := slices.IndexFunc(all, func(c web.Certificate) bool { return c.File == status.File }); at >= 0 {
			all[at].Ports += ", " + port
			continue
		}
		all = append(all, describeCertificate(port, status))
	}
	return all
}

func describeCertificate(ports string, status listen.CertificateStatus) web.Certificate {
	c := web.Certificate{Ports: ports, File: status.File, Ends: status.Ends, Days: status.Days}
	c.Soon, c.Urgent = status.State == listen.CertificateSoon, status.State == listen.CertificateUrgent
	if status.State == listen.CertificateBroken {
		c.Problem = status.Problem
	}
	if status.Name != "" {
		c.Names = []string{status.Name}
	}
	// What the status does not tell is read from the file, which may be newer than what
	// is in use, for a minute.
	text, err := regular.Read(status.File)
	if err != nil {
		return c
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return c
	}
	x, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !x.NotAfter.Equal(status.Ends) {
		return c
	}
	c.Begins, c.Issuer = x.NotBefore, x.Issuer.String()
	names := x.DNSNames
	for _, ip := range x.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) > 0 {
		c.Names = names
	}
	return c
}
