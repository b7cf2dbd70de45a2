//! SetupBaseR of HPKE (RFC 9180 §5.1.1) for DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256, from private key to AEAD key.

use crate::code::OK;
use crate::prf::Prf;
use crate::x25519::x25519_agree;
use crate::bytes_mut;
use hmac::Hmac;
use sha2::Sha256;

type Hkdf = Hmac<Sha256>;

/// `context` is mode ‖ psk_id_hash ‖ info_hash. `out` takes the shared secret (32), the key (`key_length`), the base nonce
/// (12).
#[unsafe(no_mangle)]
pub extern "C" fn hpke_x25519_setup(
    private: &[u8; 32],
    public: &[u8; 32],
    enc: &[u8; 32],
    aead: u32,
    key_length: usize,
    context: &[u8; 65],
    out: *mut u8,
) -> i32 {
    let out = unsafe { bytes_mut(out, 32 + key_length + NONCE_LENGTH) };
    let mut dh = [0; 32];
    let code = x25519_agree(private, enc, &mut dh);
    if code != OK {
        return code;
    }
    let (shared, rest) = out.split_at_mut(32);
    let (key, nonce) = rest.split_at_mut(key_length);

    let mut secret = [0; 32];
    extract(&[], KEM_SUITE, b"eae_prk", &dh, &mut secret);
    expand(&Hkdf::keyed(&secret), KEM_SUITE, b"shared_secret", [enc, public], shared);

    let suite = &[b'H', b'P', b'K', b'E', 0, 0x20, 0, 0x01, (aead >> 8) as u8, aead as u8];
    extract(shared, suite, b"secret", &[], &mut secret);
    let keyed = Hkdf::keyed(&secret);
    expand(&keyed, suite, b"key", [context, &[]], key);
    expand(&keyed, suite, b"base_nonce", [context, &[]], nonce);
    dh.fill(0);
    secret.fill(0);
    OK
}

/// LabeledExtract.
fn extract(salt: &[u8], suite: &[u8], label: &[u8], input: &[u8], out: &mut [u8; 32]) {
    Hkdf::keyed(salt).mac(&[VERSION, suite, label, input], out);
}

/// LabeledExpand to at most one hash.
fn expand(secret: &Hkdf, suite: &[u8], label: &[u8], info: [&[u8]; 2], out: &mut [u8]) {
    let length = [0, out.len() as u8];
    secret.mac(&[&length, VERSION, suite, label, info[0], info[1], &[1]], out);
}

const VERSION: &[u8] = b"HPKE-v1";
const KEM_SUITE: &[u8] = &[b'K', b'E', b'M', 0, 0x20];
const NONCE_LENGTH: usize = 12;
