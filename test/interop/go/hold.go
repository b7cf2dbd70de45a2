package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Opens -n connections, says so, and holds them until standard input ends or -seconds are over.
func hold(set *flag.FlagSet, args []string) error {
	var c client
	c.flags(set)
	count := set.Int("n", 100, "connections")
	seconds := set.Int("seconds", 60, "at most so long")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if *count > 20_000 || *seconds > 600 {
		return fmt.Errorf("bounds: -n 20,000, -seconds 600")
	}
	open := make([]net.Conn, 0, *count)
	for range *count {
		conn, err := c.dial(c.name)
		if err != nil {
			return err
		}
		open = append(open, conn)
	}
	printJSON(map[string]int{"open": len(open)})
	untilInputEnds(time.Duration(*seconds) * time.Second)
	for _, conn := range open {
		conn.Close()
	}
	return nil
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
