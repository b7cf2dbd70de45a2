// An upstream that reads the PROXY protocol by software which is not sotto's, and says what it understood: one line of
// JSON with where it listens, then one more for each connection, which is its answer in HTTP too.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

type understood struct {
	Error       string  `json:"error,omitempty"`
	Version     int     `json:"version"`
	Local       bool    `json:"local"`
	Transport   string  `json:"transport"`
	Source      string  `json:"source"`
	Destination string  `json:"destination"`
	Length      int     `json:"length"`
	Types       []int   `json:"types"`
	ALPN        *string `json:"alpn,omitempty"`
	Authority   *string `json:"authority,omitempty"`
	Checksum    string  `json:"checksum,omitempty"`
	TLS         *facts  `json:"tls,omitempty"`
	// What stands behind the header: the line of a request, or TLS.
	Behind string `json:"behind"`
}

type facts struct {
	Client   int    `json:"client"`
	SSL      bool   `json:"ssl"`
	CertConn bool   `json:"certConn"`
	CertSess bool   `json:"certSess"`
	Verify   uint32 `json:"verify"`
	Verified bool   `json:"verified"`
	Types    []int  `json:"types"`

	Version *string `json:"version,omitempty"`
	Cipher  *string `json:"cipher,omitempty"`
	CN      *string `json:"cn,omitempty"`
}

func main() {
	folder := flag.String("folder", "", "holds the unix socket")
	flag.Parse()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	path := filepath.Join(*folder, "proxy.sock")
	unix, err := net.Listen("unix", path)
	if err != nil {
		fail(err)
	}
	go serve(unix)
	go serve(tcp)
	json.NewEncoder(os.Stdout).Encode(map[string]any{"port": tcp.Addr().(*net.TCPAddr).Port, "path": path})
	io.Copy(io.Discard, os.Stdin) // its end is ours
}

func serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go answer(conn)
	}
}

func answer(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	// What is read is kept too: the checksum is over the header as it came.
	var raw bytes.Buffer
	reader := bufio.NewReader(io.TeeReader(conn, &raw))
	said, err := understand(reader, &raw)
	if err != nil {
		said.Error = err.Error()
	} else {
		said.Behind = behind(reader)
	}
	body, _ := json.Marshal(said)
	fmt.Printf("%s\n", body)
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	conn.(interface{ CloseWrite() error }).CloseWrite()
	io.Copy(io.Discard, reader)
}

func behind(reader *bufio.Reader) string {
	if _, err := reader.Peek(1); err != nil {
		return err.Error()
	}
	first, _ := reader.Peek(reader.Buffered())
	if first[0] == 22 {
		return "TLS"
	}
	line, _, _ := bytes.Cut(first, []byte("\r\n"))
	return string(line)
}

func understand(reader *bufio.Reader, raw *bytes.Buffer) (said understood, err error) {
	header, err := proxyproto.Read(reader)
	if err != nil {
		return said, err
	}
	said.Version = int(header.Version)
	said.Local = header.Command.IsLocal()
	said.Transport = transports[header.TransportProtocol]
	said.Source = text(header.SourceAddr)
	said.Destination = text(header.DestinationAddr)
	if header.Version != 2 {
		return said, nil
	}
	bytes := raw.Bytes()[:raw.Len()-reader.Buffered()]
	said.Length = len(bytes)
	tlvs, err := header.TLVs()
	if err != nil {
		return said, err
	}
	said.Types = types(tlvs)
	for _, tlv := range tlvs {
		value := string(tlv.Value)
		switch tlv.Type {
		case proxyproto.PP2_TYPE_ALPN:
			said.ALPN = &value
		case proxyproto.PP2_TYPE_AUTHORITY:
			said.Authority = &value
		case proxyproto.PP2_TYPE_CRC32C:
			said.Checksum = checksum(bytes, tlv.Value)
		case proxyproto.PP2_TYPE_SSL:
			if said.TLS, err = ofTLS(tlv); err != nil {
				return said, err
			}
		}
	}
	return said, nil
}

func ofTLS(tlv proxyproto.TLV) (*facts, error) {
	ssl, err := tlvparse.SSL(tlv)
	if err != nil {
		return nil, err
	}
	return &facts{
		Client:   int(ssl.Client),
		SSL:      ssl.ClientSSL(),
		CertConn: ssl.ClientCertConn(),
		CertSess: ssl.ClientCertSess(),
		Verify:   ssl.Verify,
		Verified: ssl.Verified(),
		Types:    types(ssl.TLV),
		Version:  optional(ssl.SSLVersion()),
		Cipher:   optional(ssl.SSLCipher()),
		CN:       optional(ssl.ClientCN()),
	}, nil
}

// The field, found by its value, counts as zero.
func checksum(header, value []byte) string {
	at := bytes.LastIndex(header, value)
	if len(value) != 4 || at < 0 {
		return "malformed"
	}
	blank := bytes.Clone(header)
	clear(blank[at : at+4])
	if crc32.Checksum(blank, crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(value) {
		return "wrong"
	}
	return "right"
}

func types(tlvs []proxyproto.TLV) []int {
	all := []int{}
	for _, tlv := range tlvs {
		all = append(all, int(tlv.Type))
	}
	return all
}

func optional(value string, found bool) *string {
	if !found {
		return nil
	}
	return &value
}

func text(address net.Addr) string {
	if address == nil {
		return ""
	}
	return address.String()
}

var transports = map[proxyproto.AddressFamilyAndProtocol]string{
	proxyproto.UNSPEC:     "unspecified",
	proxyproto.TCPv4:      "TCPv4",
	proxyproto.TCPv6:      "TCPv6",
	proxyproto.UnixStream: "unix",
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "proxy:", err)
	os.Exit(1)
}
