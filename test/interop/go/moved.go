package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// What Linux itself loses when a listener closes beside another on its port, with net.ipv4.tcp_migrate_req=1: no server of
// ours is in it. Clients connect without a pause, one listener serves all along, and a second one comes and goes, which
// accepts nothing.
//
// It is lost whose handshake of TCP ends at the very moment of the close (inet_csk_reqsk_queue_add in the kernel: the
// listener is no listener any more, and the new socket is forgotten).
func moved(set *flag.FlagSet, args []string) error {
	seconds := set.Float64("seconds", 20, "for so long")
	concurrency := set.Int("concurrency", 8, "clients at a time")
	if err := set.Parse(args); err != nil {
		return err
	}
	if *seconds > 600 || *concurrency > 256 {
		return errors.New("bounds: -seconds 600, -concurrency 256")
	}
	if value, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_migrate_req"); strings.TrimSpace(string(value)) != "1" {
		return errors.New("wants net.ipv4.tcp_migrate_req=1, as in a network namespace of its own")
	}
	staying, err := listenShared("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer staying.Close()
	go func() {
		for {
			conn, err := staying.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
					conn.Write([]byte{1})
				}
			}()
		}
	}()

	address := staying.Addr().String()
	until := time.Now().Add(time.Duration(*seconds * float64(time.Second)))
	var ok, lost atomic.Int64
	var mutex sync.Mutex
	why := map[string]int{}
	var clients sync.WaitGroup
	for range *concurrency {
		clients.Go(func() {
			for time.Now().Before(until) {
				if err := oneByte(address); err == nil {
					ok.Add(1)
				} else {
					lost.Add(1)
					mutex.Lock()
					why[err.Error()]++
					mutex.Unlock()
				}
			}
		})
	}
	closes := 0
	for ; time.Now().Before(until); closes++ {
		passing, err := listenShared(address)
		if err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
		if err := passing.Close(); err != nil {
			return err
		}
	}
	clients.Wait()
	printJSON(map[string]any{"closes": closes, "ok": ok.Load(), "lost": lost.Load(), "errors": why})
	return nil
}

func listenShared(address string) (net.Listener, error) {
	const reusePort = 15 // SO_REUSEPORT, which package syscall lacks
	config := net.ListenConfig{Control: func(_, _ string, its syscall.RawConn) (err error) {
		if failed := its.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, reusePort, 1)
		}); failed != nil {
			return failed
		}
		return err
	}}
	return config.Listen(context.Background(), "tcp", address)
}

// There and back over a connection of its own. The error says where it ended.
func oneByte(address string) error {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return ended("connect", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte{1}); err != nil {
		return ended("write", err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return ended("read", err)
	}
	return nil
}

// Without the ports, by which every error would be another.
func ended(during string, err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		err = number
	}
	return fmt.Errorf("%s: %w", during, err)
}
