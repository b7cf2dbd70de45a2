package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

type offerResult struct {
	Count    int            `json:"count"`
	OK       int            `json:"ok"`
	Resumed  int            `json:"resumed"`
	Accepted int            `json:"echAccepted"`
	Failed   int            `json:"failed"`
	Errors   map[string]int `json:"errors"`
	Seconds  float64        `json:"seconds"`
	// From the moment that a connection was due, not from when this program got round to it.
	P50Micros int64 `json:"p50Micros"`
	P99Micros int64 `json:"p99Micros"`
	MaxMicros int64 `json:"maxMicros"`
	// How late this program was to begin: where this is not small beside the latency, it measured itself.
	LateP50Micros int64   `json:"lateP50Micros"`
	LateP99Micros int64   `json:"lateP99Micros"`
	MostOpen      int     `json:"mostOpen"`
	CPUSeconds    float64 `json:"cpuSeconds"`
}

// An open loop: connections arrive at -rate a second on average, with the gaps of people who do not know each other
// (exponential), whatever becomes of those before.
func offer(set *flag.FlagSet, args []string) error {
	var c client
	c.flags(set)
	rate := set.Float64("rate", 100, "connections a second")
	seconds := set.Float64("seconds", 5, "for so long")
	withGet := set.Bool("get", false, "make a request over each")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if *rate <= 0 || *rate > 100_000 || *seconds > 600 {
		return fmt.Errorf("bounds: -rate 100,000, -seconds 600")
	}

	var mutex sync.Mutex
	result := offerResult{Errors: map[string]int{}}
	var micros, late []int64
	open := 0
	once := func(due time.Time) {
		began := time.Since(due).Microseconds()
		mutex.Lock()
		open++
		result.MostOpen = max(result.MostOpen, open)
		mutex.Unlock()
		state, err := c.once(*withGet)
		took := time.Since(due).Microseconds()
		mutex.Lock()
		defer mutex.Unlock()
		open--
		late = append(late, began)
		if err != nil {
			result.Failed++
			result.Errors[err.Error()]++
			return
		}
		result.OK++
		micros = append(micros, took)
		if state.DidResume {
			result.Resumed++
		}
		if state.ECHAccepted {
			result.Accepted++
		}
	}

	// A server that does not keep up makes them pile up: who does not fit is a failure, not a wait.
	room := make(chan struct{}, 4096)
	random := rand.New(rand.NewPCG(1, 2))
	var all sync.WaitGroup
	begin := time.Now()
	due := begin
	for due.Sub(begin).Seconds() < *seconds {
		time.Sleep(time.Until(due))
		result.Count++
		select {
		case room <- struct{}{}:
			at := due
			all.Go(func() {
				defer func() { <-room }()
				once(at)
			})
		default:
			mutex.Lock()
			result.Failed++
			result.Errors["more than 4,096 are open"]++
			mutex.Unlock()
		}
		due = due.Add(time.Duration(random.ExpFloat64() / *rate * float64(time.Second)))
	}
	all.Wait()

	result.Seconds = time.Since(begin).Seconds()
	result.P50Micros, result.P99Micros = percentile(micros, 50), percentile(micros, 99)
	result.MaxMicros = percentile(micros, 100)
	result.LateP50Micros, result.LateP99Micros = percentile(late, 50), percentile(late, 99)
	result.CPUSeconds = cpuSeconds()
	printJSON(result)
	return nil
}

func percentile(values []int64, percent int) int64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, len(values)*percent/100)]
}
