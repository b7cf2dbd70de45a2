package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// What an attacker does, bounded in number and time: -kind
//
//	malformed  -rate hellos a second for -seconds, each broken in another way
//	silent     -n sockets that say nothing
//	stop       -n connections that stop, a quarter each: within the hello, before Finished, within a record, without
//	           reading what they asked for
//
// silent and stop print how many are open once they are, hold them until standard input ends or -seconds are over, and
// print how many of them the server had ended by then.
func flood(set *flag.FlagSet, args []string) error {
	var c client
	c.flags(set)
	kind := set.String("kind", "", "malformed, silent or stop")
	count := set.Int("n", 1000, "connections")
	rate := set.Int("rate", 100, "malformed hellos a second")
	seconds := set.Int("seconds", 15, "at most so long")
	path := set.String("path", "/", "what those ask for who do not read it")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if *count > 15_000 || *rate > 1000 || *seconds > 300 {
		return fmt.Errorf("bounds: -n 15,000, -rate 1,000, -seconds 300")
	}
	atMost := time.Duration(*seconds) * time.Second
	switch *kind {
	case "malformed":
		return c.floodMalformed(*rate, atMost)
	case "silent":
		return c.floodStopped(*count, atMost, func(int) (net.Conn, error) { return c.raw() })
	case "stop":
		stops := []func() (net.Conn, error){
			c.stopWithinHello,
			c.stopBeforeFinished,
			c.stopWithinRecord,
			func() (net.Conn, error) { return c.stopReading(*path) },
		}
		return c.floodStopped(*count, atMost, func(i int) (net.Conn, error) { return stops[i%len(stops)]() })
	}
	return fmt.Errorf("unknown -kind %q", *kind)
}

func (c *client) floodMalformed(rate int, atMost time.Duration) error {
	hello := c.capturedHello()
	var answered, refused atomic.Int64
	var open sync.WaitGroup
	// A server that lets these hang would make them pile up: no more than this many at a time.
	room := make(chan struct{}, 2000)
	begin := time.Now()
	sent := 0
	for ; time.Since(begin) < atMost; sent++ {
		time.Sleep(time.Until(begin.Add(time.Duration(sent) * time.Second / time.Duration(rate))))
		room <- struct{}{}
		bytes := malform(hello, sent)
		open.Go(func() {
			defer func() { <-room }()
			conn, err := c.raw()
			if err != nil {
				refused.Add(1)
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			conn.Write(bytes)
			if n, _ := conn.Read(make([]byte, 7)); n > 0 {
				answered.Add(1)
			}
		})
	}
	open.Wait()
	printJSON(map[string]int64{"sent": int64(sent), "answered": answered.Load(), "refused": refused.Load()})
	return nil
}

// One of many ways to be wrong; which one is a matter of i.
func malform(hello []byte, i int) []byte {
	random := rand.New(rand.NewPCG(uint64(i), 7))
	bytes := append([]byte(nil), hello...)
	switch i % 6 {
	case 0: // noise
		for j := range bytes {
			bytes[j] = byte(random.Uint32())
		}
	case 1: // noise in a record
		for j := 5; j < len(bytes); j++ {
			bytes[j] = byte(random.Uint32())
		}
	case 2: // a byte of the hello flipped
		bytes[5+random.IntN(len(bytes)-5)] ^= 1 << random.IntN(8)
	case 3: // cut, and the lengths of record and message with it
		bytes = bytes[:10+random.IntN(len(bytes)-10)]
		setLengths(bytes)
	case 4: // a byte more, and the lengths of record and message with it
		bytes = append(bytes, 0)
		setLengths(bytes)
	case 5: // a record that is too large
		bytes[3], bytes[4] = 0xff, 0xff
	}
	return bytes
}

func setLengths(record []byte) {
	record[3], record[4] = byte((len(record)-5)>>8), byte(len(record)-5)
	record[6], record[7], record[8] = 0, byte((len(record)-9)>>8), byte(len(record)-9)
}

// Opens them, and counts those that the server ends.
func (c *client) floodStopped(count int, atMost time.Duration, open func(int) (net.Conn, error)) error {
	begin := time.Now()
	conns := make([]net.Conn, 0, count)
	var ended, watched atomic.Int64
	var lastMicros atomic.Int64
	for i := range count {
		conn, err := open(i)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		conns = append(conns, conn)
		if _, deaf := conn.(*deafConn); deaf {
			continue // who does not read does not hear of the end
		}
		watched.Add(1)
		go func() {
			_, err := io.Copy(io.Discard, conn)
			if !errors.Is(err, net.ErrClosed) {
				ended.Add(1)
				lastMicros.Store(time.Since(begin).Microseconds())
			}
		}()
	}
	printJSON(map[string]any{"open": len(conns), "seconds": time.Since(begin).Seconds()})
	untilInputEnds(atMost)
	printJSON(map[string]any{
		"watched": watched.Load(), "ended": ended.Load(), "lastSeconds": float64(lastMicros.Load()) / 1e6,
	})
	for _, conn := range conns {
		conn.Close()
	}
	return nil
}

func (c *client) raw() (net.Conn, error) { return net.DialTimeout("tcp", c.addr, c.wait) }

func (c *client) stopWithinHello() (net.Conn, error) {
	conn, err := c.raw()
	if err != nil {
		return nil, err
	}
	hello := c.capturedHello()
	_, err = conn.Write(hello[:len(hello)/2])
	return conn, err
}

func (c *client) stopBeforeFinished() (net.Conn, error) {
	conn, err := c.raw()
	if err != nil {
		return nil, err
	}
	if _, err = conn.Write(c.capturedHello()); err != nil {
		return nil, err
	}
	// The server's flight has begun to come: it waits for ours now.
	conn.SetReadDeadline(time.Now().Add(c.wait))
	_, err = io.ReadFull(conn, make([]byte, 5))
	conn.SetReadDeadline(time.Time{})
	return conn, err
}

func (c *client) stopWithinRecord() (net.Conn, error) {
	raw, err := c.raw()
	if err != nil {
		return nil, err
	}
	cut := &cutConn{Conn: raw, left: -1}
	conn := tls.Client(cut, c.config(c.name))
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	cut.left = 300
	_, err = conn.Write(make([]byte, 1000))
	return raw, err
}

func (c *client) stopReading(path string) (net.Conn, error) {
	raw, err := c.raw()
	if err != nil {
		return nil, err
	}
	// Little room here, so that the server has to wait soon.
	raw.(*net.TCPConn).SetReadBuffer(4096)
	conn := tls.Client(raw, c.config(c.name))
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, c.name)
	return &deafConn{raw}, err
}

// Not to be read from.
type deafConn struct{ net.Conn }

// Swallows what is written once `left` bytes are through; below zero: nothing.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(bytes []byte) (int, error) {
	if c.left < 0 {
		return c.Conn.Write(bytes)
	}
	n := min(c.left, len(bytes))
	c.left -= n
	if _, err := c.Conn.Write(bytes[:n]); err != nil {
		return 0, err
	}
	return len(bytes), nil
}

// A ClientHello as this client would send it, in its record.
func (c *client) capturedHello() []byte {
	near, far := net.Pipe()
	go func() {
		tls.Client(near, c.config(c.name)).Handshake()
		near.Close()
	}()
	buffer := make([]byte, 8192)
	n, _ := far.Read(buffer)
	far.Close()
	return buffer[:n]
}
