package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Moves at least -bytes over one connection: down by GETs of -path, up by POSTs of -post bytes each. Every answer must be
// whole. Nothing is measured here but time: it is the server that is looked at. With -hash the SHA-256 of the last body that
// came is said.
func bulk(set *flag.FlagSet, args []string) error {
	var c client
	c.flags(set)
	size := set.Int64("bytes", 100_000_000, "how many, at least")
	path := set.String("path", "/", "what to request")
	up := set.Bool("up", false, "send them instead of asking for them")
	withHash := set.Bool("hash", false, "hash what comes down")
	post := set.Int("post", 1_000_000, "bytes of each body that is sent")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if *size > 20_000_000_000 || *post < 1 || *post > 100_000_000 {
		return fmt.Errorf("bounds: -bytes 20,000,000,000, -post 100,000,000")
	}
	c.wait = 10 * time.Minute
	conn, err := c.dial(c.name)
	if err != nil {
		return err
	}
	defer conn.Close()
	begin := time.Now()
	var moved int64
	requests, back := 0, int64(0)
	reader := bufio.NewReaderSize(conn, 1<<16)
	noise := make([]byte, 1<<16)
	discard := make([]byte, 1<<16)
	sum := sha256.New()
	for moved < *size {
		requests++
		n := int64(0)
		if *up {
			if err := send(conn, c.name, *path, *post, noise); err != nil {
				return err
			}
			n = int64(*post)
		} else if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", *path, c.name); err != nil {
			return err
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		if response.StatusCode != 200 {
			return fmt.Errorf("status %d", response.StatusCode)
		}
		var sink io.Writer = onlyWriter{io.Discard}
		if *withHash {
			sum.Reset()
			sink = sum
		}
		body, err := io.CopyBuffer(sink, response.Body, discard)
		if err != nil {
			return err
		}
		back += body
		if !*up {
			if n = body; n == 0 {
				return fmt.Errorf("an empty answer")
			}
		}
		moved += n
	}
	state := conn.ConnectionState()
	printJSON(map[string]any{
		"moved": moved, "back": back, "requests": requests, "seconds": time.Since(begin).Seconds(), "cpuSeconds": cpuSeconds(),
		"version": tls.VersionName(state.Version), "cipherSuite": tls.CipherSuiteName(state.CipherSuite),
		"sha256": hex.EncodeToString(sum.Sum(nil)),
	})
	return nil
}

func send(conn *tls.Conn, name, path string, size int, noise []byte) error {
	if _, err := fmt.Fprintf(
		conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", path, name, size); err != nil {
		return err
	}
	for left := size; left > 0; {
		n, err := conn.Write(noise[:min(left, len(noise))])
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// Keeps io.CopyBuffer to its buffer: io.Discard brings small ones of its own.
type onlyWriter struct{ io.Writer }
