package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"
)

type loadResult struct {
	Count       int            `json:"count"`
	OK          int            `json:"ok"`
	Resumed     int            `json:"resumed"`
	ECHAccepted int            `json:"echAccepted"`
	Rejected    int            `json:"rejected"`
	WithRetry   int            `json:"withRetry"`
	Failed      int            `json:"failed"`
	Errors      map[string]int `json:"errors"`
	Failures    []failure      `json:"failures"`
	Seconds     float64        `json:"seconds"`
	MeanMicros  int64          `json:"meanMicros"`
	P50Micros   int64          `json:"p50Micros"`
	P90Micros   int64          `json:"p90Micros"`
	P99Micros   int64          `json:"p99Micros"`
	MaxMicros   int64          `json:"maxMicros"`
	CPUSeconds  float64        `json:"cpuSeconds"` // of this program
}

type failure struct {
	Port  int    `json:"port"` // the local one; 0: it never had one
	Error string `json:"error"`
}

// Handshakes, as many as -n says or for as long as -seconds says.
//
// With -resume all but the first, which is not counted, offer the ticket of the first; with -renew too, each offers the
// newest, for servers that take a ticket once (it comes with the reply, so that wants -get). With -unknown-id the config_id of
// -ech is exchanged for one that the server does not hold, with -stale its public key: such connections end in a rejection,
// which counts as ok.
func load(set *flag.FlagSet, args []string) error {
	var c client
	c.flags(set)
	count := set.Int("n", 1000, "handshakes")
	seconds := set.Float64("seconds", 0, "end after so long, if -n is not reached before")
	rate := set.Float64("rate", 0, "start that many a second; 0: each as soon as the one before it is done")
	concurrency := set.Int("concurrency", 1, "that many at a time")
	withGet := set.Bool("get", false, "make a request over each, and time that too")
	renew := set.Bool("renew", false, "with -resume: offer the newest ticket each time")
	unknownID := set.Bool("unknown-id", false, "name a config_id that the server does not hold")
	stale := set.Bool("stale", false, "encrypt to another key under the same config_id")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if *count > 1_000_000 || *seconds > 600 || *concurrency > 256 {
		return fmt.Errorf("bounds: -n 1,000,000, -seconds 600, -concurrency 256")
	}
	if *renew && *concurrency > 1 {
		return fmt.Errorf("-renew wants one connection at a time")
	}
	if *unknownID {
		if len(c.configList) < 7 {
			return fmt.Errorf("-unknown-id wants -ech")
		}
		// ECHConfigList length (2), version (2), length (2), config_id
		c.configList[6] ^= 0xff
	}
	if *stale {
		if err := c.makeStale(); err != nil {
			return err
		}
	}
	if c.resume {
		if _, err := c.get(c.name, "/", false); err != nil {
			return fmt.Errorf("for the ticket: %w", err)
		}
		if !*renew {
			c.sessions = frozen{c.sessions}
		}
	} else {
		c.sessions = forgetful{} // takes tickets, as browsers do: servers send none to whoever has no use for them
	}

	var mutex sync.Mutex
	result := loadResult{Errors: map[string]int{}, Failures: []failure{}}
	micros := make([]int64, 0, *count)
	once := func() {
		start := time.Now()
		port, state, err := c.onceFrom(*withGet)
		took := time.Since(start).Microseconds()
		mutex.Lock()
		defer mutex.Unlock()
		var rejection *tls.ECHRejectionError
		rejected := errors.As(err, &rejection)
		if rejected {
			result.Rejected++
			if rejection.RetryConfigList != nil {
				result.WithRetry++
			}
		}
		if err != nil && !(rejected && (*unknownID || *stale)) {
			result.Failed++
			result.Errors[err.Error()]++
			result.Failures = append(result.Failures, failure{port, err.Error()})
			return
		}
		result.OK++
		micros = append(micros, took)
		if state.DidResume {
			result.Resumed++
		}
		if state.ECHAccepted {
			result.ECHAccepted++
		}
	}

	begin := time.Now()
	tickets := make(chan struct{})
	var workers sync.WaitGroup
	for range *concurrency {
		workers.Go(func() {
			for range tickets {
				once()
			}
		})
	}
	for i := range *count {
		if *seconds > 0 && time.Since(begin).Seconds() >= *seconds {
			break
		}
		if *rate > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(float64(i) / *rate * float64(time.Second)))))
		}
		tickets <- struct{}{}
		result.Count++
	}
	close(tickets)
	workers.Wait()

	result.Seconds = time.Since(begin).Seconds()
	slices.Sort(micros)
	if n := len(micros); n > 0 {
		var sum int64
		for _, value := range micros {
			sum += value
		}
		result.MeanMicros = sum / int64(n)
		result.P50Micros = micros[n/2]
		result.P90Micros = micros[n*90/100]
		result.P99Micros = micros[n*99/100]
		result.MaxMicros = micros[n-1]
	}
	result.CPUSeconds = cpuSeconds()
	printJSON(result)
	return nil
}

func (c *client) once(withGet bool) (tls.ConnectionState, error) {
	_, state, err := c.onceFrom(withGet)
	return state, err
}

// The local port is 0 where there never was one.
func (c *client) onceFrom(withGet bool) (port int, state tls.ConnectionState, err error) {
	raw, port, err := c.connectFrom()
	if err != nil {
		return port, state, err
	}
	conn, err := c.shake(raw, c.name)
	if err != nil {
		return port, state, err
	}
	defer conn.Close()
	if withGet {
		if status, _, err := request(conn, c.name, "/", false); err != nil {
			return port, state, err
		} else if status != 200 {
			return port, state, fmt.Errorf("status %d", status)
		}
	}
	return port, conn.ConnectionState(), nil
}

// A session cache that keeps what it has.
type frozen struct{ tls.ClientSessionCache }

func (frozen) Put(string, *tls.ClientSessionState) {}

// A session cache that keeps nothing.
type forgetful struct{}

func (forgetful) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (forgetful) Put(string, *tls.ClientSessionState)        {}

// What this program has used so far, user and system.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
