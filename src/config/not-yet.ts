/**
 * Keys that sotto is to have and does not have yet: whoever writes one is told so, and what there is in its place.
 * @module
 */

/** By the table that they belong to, as in `KEYS`. The text completes "…is not built yet". */
const NOT_YET: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "": {
    email: "no public CA is asked for anything, so there is no account to give it to",
    dns: "no record is published and no public CA is asked; `ech list` prints what to publish",
    alert: "troubles are in the log, and in /readyz",
    storage: "keys and certificates lie in the data folder, --data DIR",
    admin: "health is answered on a socket in the data folder",
    policy: "name what a site needs in its [[site]]",
    tls_1_2: "TLS 1.3 alone is spoken",
    key_log: "in a file; on the command line it is --key-log FILE",
  },
  ech: {
    rotate: "keys stay until they are replaced in the data folder",
    publish: "`ech list` prints what to publish",
  },
  site: {
    proxy: "forward passes the decrypted bytes on, HTTP or not",
    files: "respond answers with a text, forward passes on to a server that has files",
    on_demand: "name the hosts in names, and reload",
    challenges: "no public CA is asked for anything",
    dns_override_domain: "no public CA is asked for anything",
    certificate_name: "give certificate and key; the local CA issues one for all names of a site",
    ip_certificate: "give certificate and key, or leave it to the local CA",
    private: "no public CA is asked for anything, so no name goes to a public log",
    pending: "certificates are there before the first connection",
    on_expired: "an expired certificate is served, with a warning",
    hsts: "what stands behind forward, or the app, may send the field",
    tls: "a site is served over TLS; plain HTTP gets a redirect, see auto_https",
    policy: "name what the site needs: groups, alpn, client_auth, require_ech",
  },
  auto_https: {
    prefer_wildcard: "the local CA issues one certificate for all names of a site",
    force_own_certificate: "the local CA issues one certificate for all names of a site",
  },
};

/** Why `key` of the table is refused; undefined: it is none that there will be. */
export function notYet(table: string, key: string): string | undefined {
  const keys = NOT_YET[table.replace(/^site\.auto_https$/, "auto_https")];
  if (keys === undefined || !Object.hasOwn(keys, key)) return undefined;
  return `${JSON.stringify(key)} is not built yet: ${keys[key]}`;
}

/** For tests: every such key, with its table. */
export function keysNotYet(): [table: string, key: string][] {
  return Object.entries(NOT_YET).flatMap(([table, keys]) =>
    Object.keys(keys).map((key): [string, string] => [table, key])
  );
}
