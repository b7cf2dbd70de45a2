package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// POSTs -bytes of noise to -path and compares what comes back.
func echo(set *flag.FlagSet, args []string) error {
	var c client
	c.flags(set)
	size := set.Int("bytes", 10_000_000, "how many, each way")
	path := set.String("path", "/echo", "where to")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if *size < 0 || *size > 100_000_000 {
		return fmt.Errorf("-bytes must be at most 100,000,000")
	}
	noise := make([]byte, *size)
	source := rand.NewChaCha8([32]byte{1})
	source.Read(noise)

	transport := &http.Transport{
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return c.dial(c.name) },
	}
	defer transport.CloseIdleConnections()
	start := time.Now()
	response, err := (&http.Client{Transport: transport}).Post(
		"https://"+c.name+*path, "application/octet-stream", bytes.NewReader(noise))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	back, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	sent, received := sha256.Sum256(noise), sha256.Sum256(back)
	printJSON(map[string]any{
		"status":   response.StatusCode,
		"sent":     len(noise),
		"received": len(back),
		"same":     sent == received,
		"sha256":   hex.EncodeToString(received[:]),
		"ms":       time.Since(start).Milliseconds(),
	})
	return nil
}
