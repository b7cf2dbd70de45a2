package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
)

type connectionResult struct {
	Name        string `json:"name"`
	Error       string `json:"error,omitempty"`
	Rejected    bool   `json:"rejected"`
	RetryList   string `json:"retryList,omitempty"`
	Version     string `json:"version,omitempty"`
	CipherSuite string `json:"cipherSuite,omitempty"`
	Group       string `json:"group,omitempty"`
	ALPN        string `json:"alpn,omitempty"`
	ECHAccepted bool   `json:"echAccepted"`
	Resumed     bool   `json:"resumed"`
	HelloRetry  bool   `json:"helloRetry"`
	Status      int    `json:"status,omitempty"`
	Body        string `json:"body,omitempty"`
}

// One connection and one request for each name in -names, in that order.
func get(set *flag.FlagSet, args []string) error {
	var c client
	c.flags(set)
	names := set.String("names", "", "server names, by comma, one connection each; default: -name")
	path := set.String("path", "/", "what to request")
	halfClose := set.Bool("half-close", false, "say close_notify behind the request, and then read the answer")
	retry := set.Bool("retry", false, "use the list that comes with a rejection from then on")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if *names == "" {
		*names = c.name
	}
	for _, name := range list(*names) {
		result, err := c.get(name, *path, *halfClose)
		if err != nil {
			result.Error = err.Error()
			var rejection *tls.ECHRejectionError
			result.Rejected = errors.As(err, &rejection)
			retryConfigs := retryList(err)
			result.RetryList = base64.StdEncoding.EncodeToString(retryConfigs)
			if *retry && retryConfigs != nil {
				c.configList = retryConfigs
			}
		}
		printJSON(result)
	}
	return nil
}

func (c *client) get(name, path string, halfClose bool) (result connectionResult, err error) {
	result.Name = name
	conn, err := c.dial(name)
	if err != nil {
		return result, err
	}
	defer conn.Close()
	state := conn.ConnectionState()
	result.Version = tls.VersionName(state.Version)
	result.CipherSuite = tls.CipherSuiteName(state.CipherSuite)
	result.Group = state.CurveID.String()
	result.ALPN = state.NegotiatedProtocol
	result.ECHAccepted = state.ECHAccepted
	result.Resumed = state.DidResume
	result.HelloRetry = state.HelloRetryRequest
	result.Status, result.Body, err = request(conn, name, path, halfClose)
	return result, err
}

// GET, to the end of the connection: tickets ride with the reply. That end is the server's to make, on the word of the
// request, or of close_notify behind it.
func request(conn *tls.Conn, name, path string, halfClose bool) (int, string, error) {
	connection := "Connection: close\r\n"
	if halfClose {
		connection = ""
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, name, connection); err != nil {
		return 0, "", err
	}
	if halfClose {
		if err := conn.CloseWrite(); err != nil {
			return 0, "", err
		}
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, "", err
	}
	// A server that says "Connection: close" ends with close_notify; anything else is an error here.
	if rest, err := io.ReadAll(reader); err != nil || len(rest) > 0 {
		return response.StatusCode, "", fmt.Errorf("after the response: %d bytes, %v", len(rest), err)
	}
	return response.StatusCode, strings.TrimSpace(string(body)), nil
}
