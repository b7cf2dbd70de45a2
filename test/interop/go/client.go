package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
	_ "unsafe" // for go:linkname
)

// crypto/tls has no setting for what it offers of TLS 1.3.
//
//go:linkname defaultCipherSuitesTLS13 crypto/tls.defaultCipherSuitesTLS13
var defaultCipherSuitesTLS13 []uint16

// What every connection has in common: where to, whom to trust, what to offer.
type client struct {
	addr   string
	name   string
	root   string
	ech    string
	groups string
	alpn   string
	suite  string
	resume bool
	anyone bool
	wait   time.Duration

	roots *x509.CertPool
	// Never empty once parsed, if -ech was given.
	configList []byte
	curves     []tls.CurveID
	sessions   tls.ClientSessionCache
}

func (c *client) flags(set *flag.FlagSet) {
	set.StringVar(&c.addr, "addr", "", "loopback address and port")
	set.StringVar(&c.name, "name", "localhost", "server name")
	set.StringVar(&c.root, "root", "", "PEM file with the roots to trust")
	set.StringVar(&c.ech, "ech", "", "ECHConfigList: a file with its base64, or the base64 itself")
	set.StringVar(&c.groups, "groups", "", "groups to offer, by comma: X25519MLKEM768, X25519, P256, P384, P521")
	set.StringVar(&c.alpn, "alpn", "http/1.1", "protocols to offer, by comma; empty: none")
	set.StringVar(&c.suite, "suite", "", "the one cipher suite to offer; default: Go's own")
	set.BoolVar(&c.resume, "resume", false, "keep tickets, and offer them under any name")
	set.BoolVar(&c.anyone, "skip-chain", false, "do not look whose the certificate is; its signature is verified all the same")
	set.DurationVar(&c.wait, "wait", 20*time.Second, "deadline of each connection")
}

func (c *client) parse(set *flag.FlagSet, args []string) error {
	if err := set.Parse(args); err != nil {
		return err
	}
	where, err := netip.ParseAddrPort(c.addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	if !where.Addr().IsLoopback() {
		return fmt.Errorf("-addr %s is not a loopback address", c.addr)
	}
	if c.root != "" {
		pem, err := os.ReadFile(c.root)
		if err != nil {
			return err
		}
		c.roots = x509.NewCertPool()
		if !c.roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("no certificate in %s", c.root)
		}
	}
	if c.ech != "" {
		text := c.ech
		if file, err := os.ReadFile(text); err == nil {
			text = string(file)
		}
		if c.configList, err = base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err != nil {
			return fmt.Errorf("-ech: %w", err)
		}
	}
	if c.suite != "" {
		all := defaultCipherSuitesTLS13
		defaultCipherSuitesTLS13 = nil
		for _, id := range all {
			if tls.CipherSuiteName(id) == c.suite {
				defaultCipherSuitesTLS13 = []uint16{id}
			}
		}
		if defaultCipherSuitesTLS13 == nil {
			return fmt.Errorf("-suite: unknown: %s", c.suite)
		}
	}
	for _, group := range list(c.groups) {
		id, known := curveByName[group]
		if !known {
			return fmt.Errorf("unknown group %q", group)
		}
		c.curves = append(c.curves, id)
	}
	if c.resume {
		c.sessions = &anyName{}
	}
	return nil
}

func (c *client) config(name string) *tls.Config {
	return &tls.Config{
		ServerName:                     name,
		RootCAs:                        c.roots,
		MinVersion:                     tls.VersionTLS13,
		NextProtos:                     list(c.alpn),
		CurvePreferences:               c.curves,
		ClientSessionCache:             c.sessions,
		EncryptedClientHelloConfigList: c.configList,
		InsecureSkipVerify:             c.anyone,
	}
}

// Exchanges the public key of the first config for another one: what a client has whose config has been forgotten.
func (c *client) makeStale() error {
	// ECHConfigList length (2), version (2), length (2), config_id, kem_id (2), length of the key (2), key
	const keyAt = 11
	if len(c.configList) < keyAt+32 || c.configList[keyAt-1] != 32 {
		return fmt.Errorf("-stale wants -ech with an X25519 key")
	}
	other, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	copy(c.configList[keyAt:], other.PublicKey().Bytes())
	return nil
}

// Connects and shakes hands.
func (c *client) dial(name string) (*tls.Conn, error) {
	raw, err := c.connect()
	if err != nil {
		return nil, err
	}
	return c.shake(raw, name)
}

// With its deadline set.
func (c *client) connect() (net.Conn, error) {
	return c.connectBy(&net.Dialer{})
}

func (c *client) connectBy(dialer *net.Dialer) (net.Conn, error) {
	dialer.Timeout = c.wait
	raw, err := dialer.Dial("tcp", c.addr)
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(c.wait))
	return raw, nil
}

// With its local port, which is known of one too that was connected and reset before this program looked: 0, if it never
// got one.
func (c *client) connectFrom() (raw net.Conn, port int, err error) {
	socket := -1
	raw, err = c.connectBy(&net.Dialer{Control: func(_, _ string, its syscall.RawConn) error {
		return its.Control(func(fd uintptr) { socket, _ = syscall.Dup(int(fd)) })
	}})
	if socket < 0 {
		return raw, 0, err
	}
	defer syscall.Close(socket)
	switch name, _ := syscall.Getsockname(socket); own := name.(type) {
	case *syscall.SockaddrInet4:
		port = own.Port
	case *syscall.SockaddrInet6:
		port = own.Port
	}
	return raw, port, err
}

// Closes what it cannot use.
func (c *client) shake(raw net.Conn, name string) (*tls.Conn, error) {
	conn := tls.Client(raw, c.config(name))
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// The list that a server sends which does not know the key that was used; nil: it was another error.
func retryList(err error) []byte {
	var rejection *tls.ECHRejectionError
	if errors.As(err, &rejection) {
		return rejection.RetryConfigList
	}
	return nil
}

// A session cache that gives the newest ticket to whoever asks, so that a ticket of one site can be offered to another.
type anyName struct{ newest *tls.ClientSessionState }

func (a *anyName) Get(string) (*tls.ClientSessionState, bool) { return a.newest, a.newest != nil }
func (a *anyName) Put(_ string, state *tls.ClientSessionState) {
	if state != nil {
		a.newest = state
	}
}

var curveByName = map[string]tls.CurveID{
	"X25519MLKEM768": tls.X25519MLKEM768,
	"X25519":         tls.X25519,
	"P256":           tls.CurveP256,
	"P384":           tls.CurveP384,
	"P521":           tls.CurveP521,
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
