package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Opens -n connections, says so, and holds them until standard input ends or -seconds are over. With -get it makes a
// request over each then, and tells by their local ports which ones were answered and which were not.
func hold(set *flag.FlagSet, args []string) error {
	var c client
	c.flags(set)
	count := set.Int("n", 100, "connections")
	seconds := set.Int("seconds", 60, "at most so long")
	concurrency := set.Int("concurrency", 1, "opens that many at a time")
	withGet := set.Bool("get", false, "in the end make a request over each")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if *count > 20_000 || *seconds > 600 || *concurrency > 256 {
		return fmt.Errorf("bounds: -n 20,000, -seconds 600, -concurrency 256")
	}
	open, err := c.dialMany(*count, *concurrency)
	if err != nil {
		return err
	}
	printJSON(map[string]int{"open": len(open)})
	untilInputEnds(time.Duration(*seconds) * time.Second)
	if *withGet {
		asked := struct {
			Answered   []int `json:"answered"`
			Unanswered []int `json:"unanswered"`
		}{[]int{}, []int{}}
		for _, conn := range open {
			conn.SetDeadline(time.Now().Add(c.wait))
			port := localPort(conn)
			if status, _, err := request(conn, c.name, "/", false); err == nil && status == 200 {
				asked.Answered = append(asked.Answered, port)
			} else {
				asked.Unanswered = append(asked.Unanswered, port)
			}
		}
		printJSON(asked)
	}
	for _, conn := range open {
		conn.Close()
	}
	return nil
}

// Without a deadline: they are for whoever holds them.
func (c *client) dialMany(count, concurrency int) ([]*tls.Conn, error) {
	all := make([]*tls.Conn, count)
	errs := make([]error, count)
	var next atomic.Int64
	var dialers sync.WaitGroup
	for range concurrency {
		dialers.Go(func() {
			for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
				conn, err := c.dial(c.name)
				if err != nil {
					errs[i] = err
					return
				}
				conn.SetDeadline(time.Time{})
				all[i] = conn
			}
		})
	}
	dialers.Wait()
	return all, errors.Join(errs...)
}

func localPort(conn net.Conn) int {
	return conn.LocalAddr().(*net.TCPAddr).Port
}

func untilInputEnds(atMost time.Duration) {
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(atMost):
	}
}
