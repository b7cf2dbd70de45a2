//! The key schedule of RFC 9846 §7.1 in the two steps that a handshake takes.
//!
//! H is the hash's length. Each HKDF-Expand-Label is one HMAC: no output is longer than a hash.

use crate::prf::{MAX_HASH_LENGTH, Prf};
use crate::{bytes, bytes_mut};
use hmac::Hmac;
use sha2::{Sha256, Sha384};

/// `input` is the hello's transcript hash (H), the PSK (H; zeros without one), the (EC)DHE secret. `out` takes
///
///     client traffic, server traffic, client finished key, server finished key, main    5 × H
///     client key, client IV, server key, server IV                                      2 × (key_length + 12)
#[unsafe(no_mangle)]
pub extern "C" fn schedule_handshake(
    hash_length: usize,
    key_length: usize,
    input: *const u8,
    secret_length: usize,
    out: *mut u8,
) {
    let input = unsafe { bytes(input, 2 * hash_length + secret_length) };
    let out = unsafe { bytes_mut(out, 5 * hash_length + 2 * (key_length + IV_LENGTH)) };
    if hash_length == 32 {
        handshake::<Hmac<Sha256>>(key_length, input, out);
    } else {
        handshake::<Hmac<Sha384>>(key_length, input, out);
    }
}

fn handshake<P: Prf>(key_length: usize, input: &[u8], out: &mut [u8]) {
    let (hello_hash, input) = input.split_at(P::HASH_LENGTH);
    let (psk, shared) = input.split_at(P::HASH_LENGTH);
    let empty_hash = P::empty_hash();
    let empty_hash = &empty_hash[..P::HASH_LENGTH];
    let zeros = [0; MAX_HASH_LENGTH];
    let zeros = &zeros[..P::HASH_LENGTH];

    let mut secret = [0; MAX_HASH_LENGTH];
    let secret = &mut secret[..P::HASH_LENGTH];
    P::keyed(zeros).mac(&[psk], secret); // Early Secret
    let early = P::keyed(secret);
    expand(&early, b"derived", empty_hash, secret);
    P::keyed(secret).mac(&[shared], secret); // Handshake Secret
    let handshake = P::keyed(secret);
    let (secrets, keys) = out.split_at_mut(5 * P::HASH_LENGTH);
    let mut secrets = secrets.chunks_exact_mut(P::HASH_LENGTH);
    let mut next = || secrets.next().unwrap_or_default();
    let (client, server) = (next(), next());
    expand(&handshake, b"c hs traffic", hello_hash, client);
    expand(&handshake, b"s hs traffic", hello_hash, server);
    let (client, server) = (P::keyed(client), P::keyed(server));
    expand(&client, b"finished", &[], next());
    expand(&server, b"finished", &[], next());
    expand(&handshake, b"derived", empty_hash, secret);
    P::keyed(secret).mac(&[zeros], next()); // Main Secret
    traffic_keys(&client, &server, key_length, keys);
    secret.fill(0);
}

/// `input` is the Main Secret (H) and the transcript hash up to the server's Finished (H). `out` takes
///
///     client traffic, server traffic, exporter       3 × H
///     client key, client IV, server key, server IV   2 × (key_length + 12)
#[unsafe(no_mangle)]
pub extern "C" fn schedule_application(
    hash_length: usize,
    key_length: usize,
    input: *const u8,
    out: *mut u8,
) {
    let input = unsafe { bytes(input, 2 * hash_length) };
    let out = unsafe { bytes_mut(out, 3 * hash_length + 2 * (key_length + IV_LENGTH)) };
    if hash_length == 32 {
        application::<Hmac<Sha256>>(key_length, input, out);
    } else {
        application::<Hmac<Sha384>>(key_length, input, out);
    }
}

fn application<P: Prf>(key_length: usize, input: &[u8], out: &mut [u8]) {
    let (main, finished_hash) = input.split_at(P::HASH_LENGTH);
    let main = P::keyed(main);
    let (secrets, keys) = out.split_at_mut(3 * P::HASH_LENGTH);
    let (client, secrets) = secrets.split_at_mut(P::HASH_LENGTH);
    let (server, exporter) = secrets.split_at_mut(P::HASH_LENGTH);
    expand(&main, b"c ap traffic", finished_hash, client);
    expand(&main, b"s ap traffic", finished_hash, server);
    expand(&main, b"exp master", finished_hash, exporter);
    traffic_keys(&P::keyed(client), &P::keyed(server), key_length, keys);
}

fn traffic_keys<P: Prf>(client: &P, server: &P, key_length: usize, out: &mut [u8]) {
    let (client_out, server_out) = out.split_at_mut(key_length + IV_LENGTH);
    for (secret, out) in [(client, client_out), (server, server_out)] {
        let (key, iv) = out.split_at_mut(key_length);
        expand(secret, b"key", &[], key);
        expand(secret, b"iv", &[], iv);
    }
}

/// HKDF-Expand-Label, first block: HMAC over HkdfLabel ‖ 0x01.
fn expand<P: Prf>(secret: &P, label: &[u8], context: &[u8], out: &mut [u8]) {
    let head = [0, out.len() as u8, (PREFIX.len() + label.len()) as u8];
    secret.mac(&[&head, PREFIX, label, &[context.len() as u8], context, &[1]], out);
}

const PREFIX: &[u8] = b"tls13 ";
const IV_LENGTH: usize = 12;
