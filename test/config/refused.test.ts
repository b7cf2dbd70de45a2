import { expect, test } from "vitest";

import { ConfigError } from "../../src/config/error.ts";
import { parseConfig } from "../../src/config/load.ts";
import { KEYS } from "../../src/config/schema.ts";

const FILE = "/etc/sotto/sotto.toml";
const TOP = KEYS[""]!.join(", ");
const SITE = KEYS.site!.join(", ");
/** Two lines: what follows begins on the third. */
const A = `[[site]]\nnames = ["a.example"]\n`;

const PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n";

/** Text, and the lines that the error must have, in order: where, which key, what was found, what is accepted. */
const refused: [name: string, text: string, ...lines: string[]][] = [
  [
    "a key in place of its file: it is not repeated",
    `${A}certificate = "a.crt"\nkey = """\n${PEM}"""`,
    "4:7: site[0].key: found a text of several lines, accepted: the path of a file that holds it",
  ],
  [
    "a certificate in place of its file",
    `${A}certificate = ["""${PEM}"""]\nkey = "file:a\\nb"`,
    "3:16: site[0].certificate[0]: found a text of several lines, accepted: the path of a file that holds it",
    "7:7: site[0].key: found a text of several lines, accepted: the path of a file that holds it",
  ],
  [
    "a CA in place of its file",
    `${A}client_auth = { ca = ["a.crt", """${PEM}"""] }`,
    "3:32: site[0].client_auth.ca[1]: found a text of several lines, accepted: the path of a file that holds it",
  ],
  [
    "a key in place of something else: it is not repeated",
    `[[site]]\nnames = ["""${PEM}"""]\nproxy_protocol = """${PEM}"""`,
    '6:18: site[0].proxy_protocol: found "-----BEGIN PRIVATE KEY-----…, accepted: 1 or 2',
  ],
  [
    "the address of a page in place of a name",
    `[[site]]\nnames = ["https://a.example/", "http://b.example:80"]`,
    '2:10: site[0].names[0]: "https://a.example/" may not contain ":", accepted: the host name alone, "a.example"',
    '2:32: site[0].names[1]: "http://b.example:80" may not contain ":", accepted: the host name alone, "b.example"',
  ],
  [
    "a name with a port, and two that no part of is a name",
    `[[site]]\nnames = ["a.example:443", "a b.example:443", "a/b"]`,
    '2:10: site[0].names[0]: "a.example:443" may not contain ":", accepted: the host name alone, "a.example"',
    '2:27: site[0].names[1]: "a b.example:443" may not contain " "',
    '2:46: site[0].names[2]: "a/b" may not contain "/", accepted: the host name alone, "a"',
  ],
  [
    "a key in place of a name: it is not repeated",
    `[[site]]\nnames = ["""${PEM}"""]`,
    '2:10: site[0].names[0]: "-----BEGIN PRIVATE KEY-----…" has a label of more than 63 characters',
  ],
  [
    "a listen address in place of a list",
    `listen = "::"`,
    '1:10: listen: found "::", accepted: a list of IP addresses as in ["0.0.0.0", "::"]',
  ],
  [
    "no listen address",
    `listen = []`,
    "1:10: listen: found an empty list, accepted: at least one IP address",
  ],
  [
    "a host name to listen on",
    `listen = ["127.0.0.1", "localhost"]`,
    '1:24: listen[1]: found "localhost", accepted: an IP address as in 127.0.0.1, ::1, 0.0.0.0 or ::; localhost is 127.0.0.1 and ::1',
  ],
  [
    "an address with its port",
    `listen = ["0.0.0.0:443"]`,
    '1:11: listen[0]: found "0.0.0.0:443", accepted: an IP address as in 127.0.0.1, ::1, 0.0.0.0 or ::',
  ],
  [
    "an address twice",
    `listen = ["::1", "::1"]`,
    '1:18: listen[1]: "::1" stands twice in the list',
  ],
  [
    "a port in quotes",
    `https_port = "443"`,
    '1:14: https_port: found "443", accepted: a port from 0 to 65535 without quotes; 0 takes a free one',
  ],
  [
    "a port beyond the last",
    `http_port = 65536`,
    "1:13: http_port: found 65536, accepted: a port from 0 to 65535 without quotes; 0 takes a free one",
  ],
  [
    "a port below the first",
    `https_port = -1`,
    "1:14: https_port: found -1, accepted: a port from 0 to 65535 without quotes; 0 takes a free one",
  ],
  [
    "half a port",
    `https_port = 443.5`,
    "1:14: https_port: found 443.5, accepted: a port from 0 to 65535 without quotes; 0 takes a free one",
  ],
  [
    "one port for both",
    `https_port = 8443\nhttp_port = 8443`,
    "2:13: http_port: found 8443, accepted: another port than https_port",
  ],
  [
    "an unknown auto_https",
    `auto_https = "offf"`,
    '1:14: auto_https: found "offf", accepted: one of on, off, no_redirects, no_certificates, or a table as in { skip = ["a.example"] }',
  ],
  [
    "auto_https as a switch",
    `auto_https = false`,
    '1:14: auto_https: found false, accepted: one of on, off, no_redirects, no_certificates, or a table as in { skip = ["a.example"] }',
  ],
  [
    "a switch of auto_https that is none",
    `auto_https = { off = "yes" }`,
    '1:22: auto_https.off: found "yes", accepted: true or false',
  ],
  [
    "a misspelt switch of auto_https",
    `auto_https = { skp = ["a.example"] }`,
    '1:16: auto_https: unknown key "skp", accepted: off, no_redirects, no_certificates, ignore_loaded, skip, skip_certificates; did you mean "skip"?',
  ],
  [
    "a name to skip that no site has",
    `auto_https = { skip = ["b.example"] }\n${A}`,
    '1:24: auto_https.skip[0]: no site is called "b.example"; did you mean "a.example"?',
  ],
  [
    "a name to skip that another site has",
    `${A}[[site]]\nnames = ["www.other.test"]\nauto_https = { skip_certificates = ["a.example"] }`,
    '5:37: site[1].auto_https.skip_certificates[0]: no site is called "a.example"',
  ],
  [
    "policy 1.2: auto_https off, and no certificate",
    `auto_https = "off"\n${A}`,
    '3:10: site[0].names[0]: "a.example" gets no certificate, for auto_https says so; accepted: certificate and key beside it',
  ],
  [
    "policy 1.2: no certificates for anybody, and no site",
    `auto_https = "no_certificates"`,
    "1:14: auto_https: leaves localhost without a certificate, accepted: beside a [[site]] that has one",
  ],
  [
    "a redirect that is no URL",
    `${A}redirect = "www.example.com"`,
    '3:12: site[0].redirect: found "www.example.com", accepted: a URL with https:// or http://, without user, password and fragment; did you mean "https://www.example.com"?',
  ],
  [
    "a redirect with a password",
    `${A}redirect = "https://me:pw@b.example"`,
    '3:12: site[0].redirect: found "https://me:pw@b.example", accepted: a URL with https:// or http://, without user, password and fragment',
  ],
  [
    "a redirect to another scheme",
    `${A}redirect = "javascript:alert(1)"`,
    '3:12: site[0].redirect: found "javascript:alert(1)", accepted: a URL with https:// or http://, without user, password and fragment',
  ],
  [
    "a redirect to the site itself",
    `${A}redirect = "https://A.example"`,
    '3:12: site[0].redirect: "https://A.example" is the site itself',
  ],
  [
    "a redirect beside respond",
    `${A}redirect = "https://b.example"\nrespond = "x"`,
    "3:12: site[0].redirect: beside respond, accepted: one of respond, redirect, forward, passthrough",
  ],
  [
    "an issuer that there is not yet",
    `${A}issuer = "letsencrypt"`,
    '3:10: site[0].issuer: found "letsencrypt", accepted: "local": no other CA is asked for certificates yet',
  ],
  [
    "a group without a name",
    `${A}group = ""`,
    '3:9: site[0].group: found "", accepted: the name of a group',
  ],
  [
    "require_ech for a site without ECH",
    `${A}ech = false\nrequire_ech = true`,
    "4:15: site[0].require_ech: found true beside ech = false, accepted: one of the two",
  ],
  [
    "an unknown sni_host",
    `sni_host = "all"`,
    '1:12: sni_host: found "all", accepted: one of match, covered, any',
  ],
  [
    "log_names in quotes",
    `log_names = "no"`,
    '1:13: log_names: found "no", accepted: true or false',
  ],
  [
    "an unknown log_level",
    `log_level = "trace"`,
    '1:13: log_level: found "trace", accepted: one of debug, info, warn, error',
  ],
  [
    "a provider of crypto that there is not",
    `[crypto]\nprovider = "gnutls"`,
    '2:12: crypto.provider: found "gnutls", accepted: one of native, openssl, wasm, noble',
  ],
  [
    "an OpenSSL that is looked for somewhere",
    `[crypto]\nopenssl = "libcrypto.so.3"`,
    '2:11: crypto.openssl: found "libcrypto.so.3", accepted: a path from / on, or false',
  ],
  [
    "an OpenSSL that is merely wanted",
    `[crypto]\nopenssl = true`,
    "2:11: crypto.openssl: found true, accepted: a path from / on, or false",
  ],
  [
    "a libIPSec_MB that is looked for somewhere",
    `[crypto]\nipsec_mb = "libIPSec_MB.so.1"`,
    '2:12: crypto.ipsec_mb: found "libIPSec_MB.so.1", accepted: a path from / on, or false',
  ],
  [
    "slow_signatures that are neither here nor there",
    `[crypto]\nslow_signatures = "gpu"`,
    '2:19: crypto.slow_signatures: found "gpu", accepted: one of thread, inline',
  ],
  [
    "a misspelt key of [crypto]",
    `[crypto]\nslow_signature = "inline"`,
    '2:1: crypto: unknown key "slow_signature", accepted: provider, openssl, ipsec_mb, slow_signatures; did you mean "slow_signatures"?',
  ],
  [
    "proxy, which there is not yet",
    `${A}proxy = "http://127.0.0.1:8080"`,
    '3:1: site[0]: "proxy" is not built yet: forward passes the decrypted bytes on, HTTP or not',
  ],
  [
    "a user that is none",
    `user = "-x y"`,
    '1:8: user: found "-x y", accepted: the name of a user, as in "sotto"',
  ],
  [
    "a user by number",
    `user = 1000`,
    '1:8: user: found 1000, accepted: the name of a user in quotes, as in "sotto"',
  ],
  [
    "policy 6.5: a default_sni that no site has",
    `default_sni = "b.example"\n${A}`,
    '1:15: default_sni: no site is called "b.example"; did you mean "a.example"?',
  ],
  [
    "policy 6.5: a fallback_sni that is nearly a site",
    `fallback_sni = "a.exmaple"\n${A}`,
    '1:16: fallback_sni: no site is called "a.exmaple"; did you mean "a.example"?',
  ],
  [
    "policy 6.5: a default_sni that is passed on",
    `default_sni = "a.example"\n${A}passthrough = "h:1"`,
    '1:15: default_sni: "a.example" is passed on, accepted: a site that is served to anybody',
  ],
  [
    "policy 6.5: a fallback_sni that requires ECH",
    `fallback_sni = "a.example"\n${A}require_ech = true`,
    '1:16: fallback_sni: "a.example" requires ECH, accepted: a site that is served to anybody',
  ],
  [
    "default_sni as a list",
    `default_sni = ["a.example"]`,
    '1:15: default_sni: found a list, accepted: a host name in quotes, as in "www.example.com"',
  ],
  [
    "install_trust in quotes",
    `install_trust = "no"`,
    '1:17: install_trust: found "no", accepted: true or false',
  ],
  [
    "a public name that clients ignore",
    `[ech]\npublic_name = "-bad-.example"`,
    '2:15: ech.public_name: found "-bad-.example", accepted: a host name of letters, digits and hyphens in labels of 1 to 63, at most 253 in all, whose last label is no number: clients ignore any other',
  ],
  [
    "a public name that is a number",
    `[ech]\npublic_name = 7`,
    '2:15: ech.public_name: found 7, accepted: a host name in quotes, as in "cloud.example.net"',
  ],
  [
    "an unknown key of [ech]",
    `[ech]\npublicname = "a.example"`,
    '2:1: ech: unknown key "publicname", accepted: public_name, enabled, strict_outer_sni, grease_hello_retry; did you mean "public_name"?',
  ],
  [
    "strict_outer_sni as a number",
    `[ech]\nstrict_outer_sni = 1`,
    "2:20: ech.strict_outer_sni: found 1, accepted: true or false",
  ],
  [
    "two handlers",
    `${A}respond = "x"\nforward = "127.0.0.1:80"`,
    "4:11: site[0].forward: beside respond, accepted: one of respond, redirect, forward, passthrough",
  ],
  [
    "three handlers",
    `${A}passthrough = "h:1"\nforward = "h:2"\nrespond = "x"`,
    "3:15: site[0].passthrough: beside respond, accepted: one of respond, redirect, forward, passthrough",
    "4:11: site[0].forward: beside respond, accepted: one of respond, redirect, forward, passthrough",
  ],
  [
    "an upstream without a port",
    `${A}forward = "127.0.0.1"`,
    '3:11: site[0].forward: found "127.0.0.1", accepted: "host:port" as in "127.0.0.1:3000", or "unix:/path"; its port is missing',
  ],
  [
    "an upstream as a URL",
    `${A}forward = "http://127.0.0.1:3000"`,
    '3:11: site[0].forward: found "http://127.0.0.1:3000", accepted: host and port without http://',
  ],
  [
    "an upstream on IPv6 without brackets",
    `${A}forward = "::1:3000"`,
    '3:11: site[0].forward: found "::1:3000", accepted: an IPv6 address in brackets, as in "[::1]:3000"',
  ],
  [
    "an upstream on port 0",
    `${A}forward = "app:0"`,
    '3:11: site[0].forward: found "app:0", accepted: "host:port" as in "127.0.0.1:3000", or "unix:/path"',
  ],
  [
    "an upstream on no port",
    `${A}forward = "app:99999"`,
    '3:11: site[0].forward: found "app:99999", accepted: "host:port" as in "127.0.0.1:3000", or "unix:/path"',
  ],
  [
    "a unix socket by a relative path",
    `${A}forward = "unix:app.sock"`,
    '3:11: site[0].forward: found "unix:app.sock", accepted: an absolute path as in "unix:/run/app.sock"',
  ],
  [
    "no upstream",
    `${A}forward = []`,
    "3:11: site[0].forward: found an empty list, accepted: at least one server",
  ],
  [
    "an empty upstream",
    `${A}forward = ""`,
    '3:11: site[0].forward: found "", accepted: "host:port" as in "127.0.0.1:3000", or "unix:/path"',
  ],
  [
    "the second of two upstreams",
    `${A}forward = ["app:1", "app2"]`,
    '3:21: site[0].forward[1]: found "app2", accepted: "host:port" as in "127.0.0.1:3000", or "unix:/path"; its port is missing',
  ],
  [
    "an upstream twice",
    `${A}forward = ["app:1", "app:1"]`,
    '3:21: site[0].forward[1]: "app:1" stands twice in the list',
  ],
  [
    "an upstream that is a port",
    `${A}forward = 3000`,
    '3:11: site[0].forward: found 3000, accepted: "host:port" as in "127.0.0.1:3000", or "unix:/path", or a list of those',
  ],
  [
    "a PROXY protocol of the future",
    `${A}forward = "app:1"\nproxy_protocol = 3`,
    "4:18: site[0].proxy_protocol: found 3, accepted: 1 or 2",
  ],
  [
    "a PROXY protocol in quotes",
    `${A}forward = "app:1"\nproxy_protocol = "v2"`,
    '4:18: site[0].proxy_protocol: found "v2", accepted: 1 or 2',
  ],
  [
    "a PROXY protocol for nobody",
    `${A}proxy_protocol = 2`,
    "3:18: site[0].proxy_protocol: there is nothing to connect to, accepted: beside forward or passthrough",
  ],
  [
    "a health check of nobody",
    `${A}respond = "x"\nhealth_check = "5s"`,
    "4:16: site[0].health_check: there is nothing to connect to, accepted: beside forward or passthrough",
  ],
  [
    "a health check without a unit",
    `${A}forward = "app:1"\nhealth_check = "10"`,
    '4:16: site[0].health_check: found "10", accepted: a time from 100ms to 24h, as in "10s", "500ms" or "1m"',
  ],
  [
    "a health check that never rests",
    `${A}forward = "app:1"\nhealth_check = "1ms"`,
    '4:16: site[0].health_check: found "1ms", accepted: a time from 100ms to 24h, as in "10s", "500ms" or "1m"',
  ],
  [
    "a health check as a number",
    `${A}forward = "app:1"\nhealth_check = 10`,
    '4:16: site[0].health_check: found 10, accepted: a time in quotes, as in "10s", "500ms" or "1m"',
  ],
  [
    "a certificate beside passthrough",
    `${A}passthrough = "app:1"\ncertificate = "c.pem"\nkey = "k.pem"`,
    "4:15: site[0].certificate: has no use beside passthrough: the server behind it does the TLS",
    "5:7: site[0].key: has no use beside passthrough: the server behind it does the TLS",
  ],
  [
    "client_auth beside passthrough",
    `${A}passthrough = "app:1"\nclient_auth = { mode = "request" }`,
    "4:15: site[0].client_auth: has no use beside passthrough: the server behind it does the TLS",
  ],
  [
    "alpn, groups and require_ech beside passthrough",
    `${A}passthrough = "app:1"\nalpn = []\ngroups = ["x25519"]\nrequire_ech = false`,
    "4:8: site[0].alpn: has no use beside passthrough: the server behind it does the TLS",
    "5:10: site[0].groups: has no use beside passthrough: the server behind it does the TLS",
    "6:15: site[0].require_ech: has no use beside passthrough: the server behind it does the TLS",
  ],
  [
    "an IP address beside passthrough",
    `[[site]]\nnames = ["a.example", "192.0.2.1"]\npassthrough = "app:1"`,
    '2:23: site[0].names[1]: found "192.0.2.1", accepted beside passthrough: a host name. No hello names an IP address',
  ],
  [
    "the ECH public name passed on",
    `[ech]\npublic_name = "a.example"\n${A}passthrough = "app:1"`,
    "4:10: site[0].names[0]: a.example is the ECH public name: passed on, every hidden name would go the same way. Accepted: another [ech] public_name, or ECH off",
  ],
  [
    "require_ech on the ECH public name",
    `[ech]\npublic_name = "a.example"\n${A}require_ech = true`,
    "5:15: site[0].require_ech: the ECH public name a.example is for those whose ECH failed, accepted: false",
  ],
  [
    "policy 8.7: require_ech without ECH",
    `[ech]\nenabled = false\n${A}require_ech = true`,
    "5:15: site[0].require_ech: nobody could visit it, accepted: with ECH on",
  ],
  [
    "require_ech in quotes",
    `${A}require_ech = "yes"`,
    '3:15: site[0].require_ech: found "yes", accepted: true or false',
  ],
  [
    "an ALPN protocol with a space beside forward",
    `${A}forward = "app:1"\nalpn = ["h 2"]`,
    '4:9: site[0].alpn[0]: found "h 2", accepted: what the server behind it speaks, in 1 to 255 characters of ASCII; acme-tls/1 is for sotto alone',
  ],
  [
    "policy 5: acme-tls/1 beside forward",
    `${A}forward = "app:1"\nalpn = ["h2", "acme-tls/1"]`,
    '4:15: site[0].alpn[1]: found "acme-tls/1", accepted: what the server behind it speaks, in 1 to 255 characters of ASCII; acme-tls/1 is for sotto alone',
  ],
  [
    "an ALPN protocol twice",
    `${A}alpn = ["http/1.1", "http/1.1"]`,
    '3:21: site[0].alpn[1]: "http/1.1" stands twice in the list',
  ],
  [
    "a key in a variable without a name",
    `${A}certificate = "c.pem"\nkey = "env:"`,
    '4:7: site[0].key: found "env:", accepted: the name of an environment variable as in "env:SITE_KEY"',
  ],
  [
    "the second key in a variable with a bad name",
    `${A}certificate = ["c.pem", "d.pem"]\nkey = ["k.pem", "env:A-B"]`,
    '4:17: site[0].key[1]: found "env:A-B", accepted: the name of an environment variable as in "env:SITE_KEY"',
  ],
  [
    "a text that is none",
    `${A}respond = 4`,
    "3:11: site[0].respond: found 4, accepted: the text to answer with, in quotes",
  ],
  [
    "a name twice in one site",
    `[[site]]\nnames = ["a.example", "A.EXAMPLE"]`,
    '2:23: site[0].names[1]: the name "A.EXAMPLE" is already taken by site[0].names[0]',
  ],
  [
    "an IP address twice, in two spellings",
    `[[site]]\nnames = ["::1", "0:0:0:0:0:0:0:1"]`,
    '2:17: site[0].names[1]: the name "0:0:0:0:0:0:0:1" is already taken by site[0].names[0]',
  ],
  [
    "a misspelt forward",
    `${A}foward = "app:1"`,
    `3:1: site[0]: unknown key "foward", accepted: ${SITE}; did you mean "forward"?`,
  ],
  [
    "a key of the top in a site",
    `${A}respond = "x"\nworkers = 2`,
    '4:1: site[0]: "workers" belongs at the top of the file, above the first [table] or [[table]]',
  ],
  [
    "a table of the top in a site",
    `${A}respond = "x"\n[site.limits]\nmaxClientHello = 1`,
    '4:1: site[0]: "limits" belongs at the top of the file, as [limits]',
  ],
  [
    "a key of the top in another table",
    `[ech]\nhttps_port = 8443`,
    '2:1: ech: "https_port" belongs at the top of the file, above the first [table] or [[table]]',
  ],
  [
    "a misspelt top-level key",
    `http_prot = 80`,
    `1:1: unknown key "http_prot", accepted: ${TOP}; did you mean "http_port"?`,
  ],
  [
    "a key that stands twice",
    `${A}respond = "x"\nrespond = "y"`,
    "4:1: not TOML: trying to redefine an already defined table or value",
  ],
  [
    "a table that is not closed",
    `[[site]\nnames = ["a.example"]`,
    "1:8: not TOML: expected end of table array declaration",
  ],
  [
    "a text that is not closed",
    `user = "sotto`,
    "1:8: not TOML: unfinished string",
  ],
  [
    "a text that is not closed in its line",
    `${A}respond = "x\ngroup = "y"`,
    "3:13: not TOML: a string that is not closed, accepted: a quote at its end, in the same line",
  ],
  [
    "a control character in a text",
    `${A}respond = "x\u0001y"`,
    "3:13: not TOML: control characters are not allowed in strings",
  ],
  [
    "a text without quotes",
    `[[site]]\nnames = [a.example]`,
    "2:10: not TOML: invalid value, accepted: a text in quotes, a number, true, false, a list or a table",
  ],
  [
    "a colon after a key",
    `[[site]]\nnames: ["a.example"]`,
    '2:6: not TOML: found ":" after a key, accepted: "="',
  ],
  [
    "a client_auth that is no table",
    `${A}client_auth = true`,
    '3:15: site[0].client_auth: found true, accepted: a table as in { mode = "require_and_verify", ca = ["clients.pem"] }',
  ],
  [
    "an empty list of groups",
    `${A}groups = []`,
    "3:10: site[0].groups: found an empty list, accepted: at least one group",
  ],
  [
    "a limit of upstreams by half",
    `[limits]\nconnectTimeoutMs = 0.5`,
    "2:20: limits.connectTimeoutMs: found 0.5, accepted: a whole number from 0",
  ],
  [
    "a time that no timer waits for",
    `[limits]\nidleTimeoutMs = 2147483648`,
    "2:17: limits.idleTimeoutMs: found 2147483648, accepted: at most 2147483647, 24 days",
  ],
  [
    "names in place of a list",
    `[[site]]\nnames = "a.example"`,
    '2:9: site[0].names: found "a.example", accepted: a list of host names as in ["example.com", "*.example.com"]',
  ],
  [
    "a key of the wrong shape, and values of other sites and tables that mean nothing, all at once",
    `user = "a b"
workers = "many"
default_sni = "none.example"
[limits]
idleTimeout = 1
drainTimeoutMs = "1"
[ech]
public_name = "no host"
enabled = 1
[[site]]
names = "a.example"
[[site]]
names = ["b.example", "-.example"]
forward = "3000"
[[site]]
names = ["b.example"]
respnd = 1
[[site]]
names = ["b.example"]`,
    '1:8: user: found "a b", accepted: the name of a user, as in "sotto"',
    '2:11: workers: found "many", accepted: a number from 1 to 256 without quotes, or "auto"',
    '5:15: limits.idleTimeout: unknown limit; did you mean "idleTimeoutMs"?',
    '6:18: limits.drainTimeoutMs: found "1", accepted: a number, true or false',
    '8:15: ech.public_name: found "no host", accepted: a host name of letters, digits and hyphens in labels of 1 to 63, at most 253 in all, whose last label is no number: clients ignore any other',
    "9:11: ech.enabled: found 1, accepted: true or false",
    '11:9: site[0].names: found "a.example", accepted: a list of host names as in ["example.com", "*.example.com"]',
    '13:23: site[1].names[1]: "-.example" has a label with a hyphen at its edge',
    '14:11: site[1].forward: found "3000", accepted: "host:port" as in "127.0.0.1:3000", or "unix:/path"; its port is missing',
    `17:1: site[2]: unknown key "respnd", accepted: ${SITE}; did you mean "respond"?`,
    '19:10: site[3].names[0]: the name "b.example" is already taken by site[1].names[0]',
  ],
  [
    "a key of the wrong shape alone: nothing is told that follows from leaving it out",
    `default_sni = "a.example"
https_port = 443
http_port = "443"
[auto_https]
skip = ["a.example"]
no_certificates = 1
[ech]
enabled = "no"
[[site]]
names = ["a.example"]
certificate = 1
key = "a.key"
require_ech = true`,
    '3:13: http_port: found "443", accepted: a port from 0 to 65535 without quotes; 0 takes a free one',
    "6:19: auto_https.no_certificates: found 1, accepted: true or false",
    '8:11: ech.enabled: found "no", accepted: true or false',
    "11:15: site[0].certificate: found 1, accepted: the path of a PEM file, leaf certificate first, or a list of those",
  ],
  [
    "a site in place of a list of them, and what stands beside it",
    `user = "a b"
auto_https = "off"
fallback_sni = "a.example"
[site]
names = ["a.example"]`,
    '1:8: user: found "a b", accepted: the name of a user, as in "sotto"',
    "4:1: site: found a table, accepted: tables that begin with [[site]], with two brackets",
  ],
];

test.each(refused)("%s", async (_name, text, ...lines) => {
  const error = await parseConfig(text, FILE).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as ConfigError).message.split("\n")).toEqual(
    lines.map((line) => `${FILE}:${line}`),
  );
});

test.each([
  ["of its shape", `respnd = "x"`, /^.*:3:1: site\[0\]: unknown key "respnd"/],
  [
    "of what it says",
    `auto_https = { skip = ["m.example"] }`,
    /^.*:3:24: site\[0\]\.auto_https\.skip\[0\]: no site/,
  ],
])(
  "Of very many problems %s the first hundred are told, soon enough for a server that reloads",
  async (_, line, first) => {
    const text = (sites: number) =>
      Array.from({ length: sites }, (_, i) => `[[site]]\nnames = ["n${i}.example"]\n${line}\n`)
        .join("");
    const error = await parseConfig(text(8000), FILE).catch((error: unknown) => error);
    const lines = (error as ConfigError).message.split("\n");
    expect(lines.length).toBe(101);
    expect(lines[0]).toMatch(first);
    expect(lines[99]).toContain(":300:");
    expect(lines[100]).toMatch(/: 7900 more of this kind$/);
    // In a text of megabytes their lines are not looked for.
    const long = await parseConfig(`${text(200)}#${" ".repeat(1 << 21)}`, FILE).catch((
      error: unknown,
    ) => error);
    expect((long as ConfigError).message.split("\n")[100]).toMatch(/: 100 more of this kind$/);
    expect((long as ConfigError).problems[99]).toMatchObject({
      path: expect.arrayContaining(["site", 99]) as unknown,
    });
    expect((long as ConfigError).problems[99]!.line).toBeUndefined();
  },
  20_000,
);
