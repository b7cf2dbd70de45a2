package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// What became of the connections of one kind. Attempts = OK + Injected + Failed, always: each is counted when it begins
// and once more, under one of the three, when it ends.
type soakCount struct {
	Attempts int `json:"attempts"`
	OK       int `json:"ok"`
	Injected int `json:"injected"`
	Failed   int `json:"failed"`
}

type soakResult struct {
	soakCount
	Kinds      map[string]*soakCount `json:"kinds"`
	Errors     map[string]int        `json:"errors"`
	Handshakes int                   `json:"handshakes"` // completed, by those that were ok
	Seconds    float64               `json:"seconds"`
	CPUSeconds float64               `json:"cpuSeconds"`
	Done       bool                  `json:"done"`
}

// A connection that ended as this program made it end.
var errInjected = errors.New("injected")

type soakKind struct {
	name   string
	weight int // of 1000
	run    func(w *soakWorker) error
}

var soakKinds = []soakKind{
	{"full none", 220, func(w *soakWorker) error { return w.good(w.plain, false, nil) }},
	{"full get", 200, func(w *soakWorker) error { return w.good(w.plain, true, nil) }},
	{"resumed get", 150, (*soakWorker).resumed},
	{"ECH accepted get", 150, func(w *soakWorker) error {
		return w.good(w.ech, true, func(s tls.ConnectionState) bool { return s.ECHAccepted })
	}},
	{"ECH stale key", 30, (*soakWorker).rejected},
	{"HelloRetryRequest get", 50, func(w *soakWorker) error {
		return w.good(w.retried, true, func(s tls.ConnectionState) bool { return s.HelloRetryRequest })
	}},
	{"X25519MLKEM768 get", 50, func(w *soakWorker) error { return w.good(w.hybrid, true, nil) }},
	{"forward get", 70, func(w *soakWorker) error { return w.good(w.forwarded, true, nil) }},
	{"fault: cut within the hello", 15, (*soakWorker).cutHello},
	{"fault: cut before Finished", 20, (*soakWorker).cutFlight},
	{"fault: cut within a record", 10, (*soakWorker).cutRecord},
	{"fault: garbage", 15, (*soakWorker).garbage},
	{"fault: reset behind the request", 15, (*soakWorker).reset},
	{"fault: silent", 5, (*soakWorker).silent},
}

type soakWorker struct {
	plain, ech, stale, retried, hybrid, forwarded, returning *client
	random                                                   *rand.Rand
	patience                                                 time.Duration
}

// All kinds of connections in a random order, -n of them spread over -seconds. One line a second says how far it is, the last
// one has "done". Whatever this program did not do itself is a failure, and named under errors.
func soak(set *flag.FlagSet, args []string) error {
	var c client
	c.flags(set)
	count := set.Int("n", 1000, "connections")
	seconds := set.Float64("seconds", 0, "spread over so long; 0: as fast as it goes")
	concurrency := set.Int("concurrency", 8, "that many at a time")
	retryName := set.String("retry-name", "", "a site that has P256 alone")
	forwardName := set.String("forward-name", "", "a site that forwards")
	patience := set.Duration("patience", 10*time.Second, "by then the server must have ended what is silent or garbage")
	seed := set.Uint64("seed", 1, "of the order")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if *count > 5_000_000 || *seconds > 86_400 || *concurrency > 256 {
		return fmt.Errorf("bounds: -n 5,000,000, -seconds 86,400, -concurrency 256")
	}
	if *retryName == "" || *forwardName == "" || c.configList == nil {
		return fmt.Errorf("wants -ech, -retry-name and -forward-name")
	}

	var mutex sync.Mutex
	result := soakResult{Kinds: map[string]*soakCount{}, Errors: map[string]int{}}
	for _, kind := range soakKinds {
		result.Kinds[kind.name] = &soakCount{}
	}
	account := func(kind soakKind, err error) {
		mutex.Lock()
		defer mutex.Unlock()
		for _, count := range []*soakCount{&result.soakCount, result.Kinds[kind.name]} {
			switch {
			case err == nil:
				count.OK++
			case errors.Is(err, errInjected):
				count.Injected++
			default:
				count.Failed++
			}
		}
		if err == nil {
			result.Handshakes++
		} else if !errors.Is(err, errInjected) {
			result.Errors[kind.name+": "+err.Error()]++
		}
	}
	begin := time.Now()
	report := func(done bool) {
		mutex.Lock()
		defer mutex.Unlock()
		result.Seconds, result.CPUSeconds, result.Done = time.Since(begin).Seconds(), cpuSeconds(), done
		printJSON(result)
	}

	kinds := make(chan soakKind)
	var workers, waiting sync.WaitGroup
	for i := range *concurrency {
		worker := newSoakWorker(c, *retryName, *forwardName, *patience, rand.New(rand.NewPCG(*seed, uint64(i))))
		workers.Go(func() {
			for kind := range kinds {
				if kind.name == "fault: silent" { // no work, only waiting: others go on meanwhile
					waiting.Go(func() { account(kind, worker.silent()) })
					continue
				}
				account(kind, kind.run(worker))
			}
		})
	}
	random := rand.New(rand.NewPCG(*seed, 1<<32))
	last := begin
	for i := range *count {
		if *seconds > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(float64(i) / float64(*count) * *seconds * float64(time.Second)))))
		}
		kind := pickKind(random)
		mutex.Lock()
		result.Attempts++
		result.Kinds[kind.name].Attempts++
		mutex.Unlock()
		kinds <- kind
		if time.Since(last) > time.Second {
			last = time.Now()
			report(false)
		}
	}
	close(kinds)
	workers.Wait()
	waiting.Wait()
	report(true)
	return nil
}

func pickKind(random *rand.Rand) soakKind {
	at := random.IntN(1000)
	for _, kind := range soakKinds {
		if at -= kind.weight; at < 0 {
			return kind
		}
	}
	return soakKinds[0]
}

func newSoakWorker(
	c client, retryName, forwardName string, patience time.Duration, random *rand.Rand,
) *soakWorker {
	with := func(change func(*client)) *client {
		own := c
		own.configList = nil
		own.curves = []tls.CurveID{tls.X25519}
		change(&own)
		return &own
	}
	w := &soakWorker{random: random, patience: patience}
	w.plain = with(func(*client) {})
	w.ech = with(func(own *client) { own.configList = c.configList })
	w.stale = with(func(own *client) {
		own.configList = append([]byte(nil), c.configList...)
		if err := own.makeStale(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	w.retried = with(func(own *client) {
		own.name, own.curves = retryName, []tls.CurveID{tls.X25519, tls.CurveP256}
	})
	w.hybrid = with(func(own *client) { own.curves = []tls.CurveID{tls.X25519MLKEM768} })
	w.forwarded = with(func(own *client) { own.name = forwardName })
	w.returning = with(func(own *client) { own.sessions = &anyName{} })
	return w
}

func (w *soakWorker) good(c *client, withGet bool, isSo func(tls.ConnectionState) bool) error {
	state, err := c.once(withGet)
	if err == nil && isSo != nil && !isSo(state) {
		return fmt.Errorf("served, but not so")
	}
	return err
}

// Each takes the ticket of the one before it.
func (w *soakWorker) resumed() error {
	_, returns := w.returning.sessions.Get("")
	return w.good(w.returning, true, func(s tls.ConnectionState) bool { return s.DidResume == returns })
}

func (w *soakWorker) rejected() error {
	_, err := w.stale.once(false)
	if retryList(err) != nil {
		return nil
	}
	return fmt.Errorf("not rejected with retry configs: %v", err)
}

func (w *soakWorker) cutHello() error {
	conn, err := w.plain.stopWithinHello()
	return cut(conn, err)
}

func (w *soakWorker) cutFlight() error {
	conn, err := w.plain.stopBeforeFinished()
	return cut(conn, err)
}

func (w *soakWorker) cutRecord() error {
	conn, err := w.plain.stopWithinRecord()
	return cut(conn, err)
}

func cut(conn net.Conn, err error) error {
	if conn != nil {
		conn.Close()
	}
	if err != nil {
		return err
	}
	return errInjected
}

// The server must have a word to it, or end it.
func (w *soakWorker) garbage() error {
	conn, err := w.plain.raw()
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(w.patience))
	if _, err := conn.Write(malform(w.plain.capturedHello(), w.random.IntN(1<<30))); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 7)); isTimeout(err) {
		return fmt.Errorf("no answer within %v", w.patience)
	}
	return errInjected
}

func (w *soakWorker) reset() error {
	raw, err := w.plain.raw()
	if err != nil {
		return err
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(w.plain.wait))
	conn := tls.Client(raw, w.plain.config(w.plain.name))
	if err := conn.Handshake(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", w.plain.name); err != nil {
		return err
	}
	raw.(*net.TCPConn).SetLinger(0)
	return errInjected
}

// Says nothing until the server ends it.
func (w *soakWorker) silent() error {
	conn, err := w.plain.raw()
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(w.patience))
	if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
		return fmt.Errorf("still open after %v", w.patience)
	}
	return errInjected
}

func isTimeout(err error) bool {
	var net net.Error
	return errors.As(err, &net) && net.Timeout()
}
