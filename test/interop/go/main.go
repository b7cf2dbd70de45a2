// The interop client: Go's crypto/tls against sotto, on loopback only. Every subcommand prints JSON, one value a line.
//
//	get    requests, one connection each: ECH, retry, resumption, groups
//	echo   10 MB there and back, compared by hash
//	load   handshakes, counted and timed
//	offer  handshakes that begin when they are due, whether or not the server keeps up
//	bulk   many bytes over one connection, down or up
//	soak   a mixture of all kinds of connections, faults among them, each accounted for
//	hold   idle connections
//	flood  what an attacker does: malformed hellos, silence, connections that stop half-way
//	moved  what the kernel itself loses where one listener follows another
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

func main() {
	commands := map[string]func(*flag.FlagSet, []string) error{
		"get":   get,
		"echo":  echo,
		"load":  load,
		"offer": offer,
		"bulk":  bulk,
		"soak":  soak,
		"hold":  hold,
		"flood": flood,
		"moved": moved,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fail(fmt.Errorf("want a subcommand: get, echo, load, offer, bulk, soak, hold, flood or moved"))
	}
	name := os.Args[1]
	if err := commands[name](flag.NewFlagSet(name, flag.ExitOnError), os.Args[2:]); err != nil {
		fail(err)
	}
}

func printJSON(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "interop:", err)
	os.Exit(1)
}
