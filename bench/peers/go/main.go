// A TLS server with ECH as Go's crypto/tls offers it, to be measured beside sotto.
//
//	go run . -cert FILE -key FILE [-rsa-cert FILE -rsa-key FILE -cover-cert FILE -cover-key FILE -ech-keys 4] -page TEXT
//
// It says on which port it listens and the base64 of an ECHConfigList: that of its last key, which crypto/tls tries last, since
// it does not look at config_id. Certificates are chosen by name in GetConfigForClient, as servers of several sites do.
package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"time"
)

var (
	cert      = flag.String("cert", "", "PEM file")
	key       = flag.String("key", "", "PEM file")
	rsaName   = flag.String("rsa-name", "", "the name with the RSA certificate")
	rsaCert   = flag.String("rsa-cert", "", "PEM file")
	rsaKey    = flag.String("rsa-key", "", "PEM file")
	coverName = flag.String("cover-name", "", "the public name of ECH")
	coverCert = flag.String("cover-cert", "", "PEM file")
	coverKey  = flag.String("cover-key", "", "PEM file")
	echKeys   = flag.Int("ech-keys", 0, "how many")
	page      = flag.String("page", "", "what to answer every request with")
)

func main() {
	flag.Parse()
	keys, list := makeKeys(*echKeys, *coverName)
	configOf := func(cert, key string) *tls.Config {
		if cert == "" {
			return nil
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			log.Fatal(err)
		}
		return &tls.Config{
			Certificates:             []tls.Certificate{pair},
			MinVersion:               tls.VersionTLS13,
			NextProtos:               []string{"http/1.1"},
			EncryptedClientHelloKeys: keys,
		}
	}
	config := configOf(*cert, *key)
	byName := map[string]*tls.Config{
		*rsaName:   configOf(*rsaCert, *rsaKey),
		*coverName: configOf(*coverCert, *coverKey),
	}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		return byName[hello.ServerName], nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"pid": os.Getpid(), "port": listener.Addr().(*net.TCPAddr).Port, "ech": list,
	})
	answer := fmt.Appendf(nil,
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		len(*page), *page)
	for {
		raw, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(tls.Server(raw, config), answer)
	}
}

// One request.
func serve(conn *tls.Conn, answer []byte) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Minute))
	buffer := make([]byte, 2048)
	length := 0
	for !bytes.Contains(buffer[:length], []byte("\r\n\r\n")) {
		n, err := conn.Read(buffer[length:])
		if err != nil || length+n == len(buffer) {
			return
		}
		length += n
	}
	conn.Write(answer)
}

func makeKeys(count int, publicName string) (keys []tls.EncryptedClientHelloKey, list string) {
	for i := range count {
		private, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			log.Fatal(err)
		}
		config := echConfig(byte(17+i), private.PublicKey().Bytes(), publicName)
		keys = append(keys, tls.EncryptedClientHelloKey{
			Config: config, PrivateKey: private.Bytes(), SendAsRetry: i == 0,
		})
		list = base64.StdEncoding.EncodeToString(withLength(config))
	}
	return keys, list
}

// RFC 9849 §4, with the one suite that every client has to know.
func echConfig(id byte, publicKey []byte, publicName string) []byte {
	contents := []byte{id, 0x00, 0x20} // config_id, DHKEM(X25519, HKDF-SHA256)
	contents = append(contents, withLength(publicKey)...)
	contents = append(contents, 0, 4, 0x00, 0x01, 0x00, 0x01) // HKDF-SHA256, AES-128-GCM
	contents = append(contents, 16)                           // maximum_name_length
	contents = append(contents, byte(len(publicName)))
	contents = append(contents, publicName...)
	contents = append(contents, 0, 0) // extensions
	return append([]byte{0xfe, 0x0d}, withLength(contents)...)
}

func withLength(bytes []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(bytes))), bytes...)
}
