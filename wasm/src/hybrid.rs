//! X25519MLKEM768 (RFC 10024), the server's half in one call.

use crate::code::OK;
use crate::ml_kem::ml_kem_768_encapsulate;
use crate::x25519::{x25519_agree, x25519_public};

/// The client's share is encapsulation key ‖ X25519; ours ciphertext ‖ X25519; the secret ML-KEM ‖ X25519.
#[repr(C)]
pub struct ClientShare {
    encapsulation_key: [u8; 1184],
    x25519: [u8; 32],
}

#[repr(C)]
pub struct ServerShare {
    ciphertext: [u8; 1088],
    x25519: [u8; 32],
}

#[repr(C)]
pub struct Secret {
    ml_kem: [u8; 32],
    x25519: [u8; 32],
}

/// `private` and `m` are random bytes.
#[unsafe(no_mangle)]
pub extern "C" fn x25519_ml_kem_768_answer(
    private: &[u8; 32],
    m: &[u8; 32],
    peer: &ClientShare,
    share: &mut ServerShare,
    secret: &mut Secret,
) -> i32 {
    let code = x25519_agree(private, &peer.x25519, &mut secret.x25519);
    if code != OK {
        return code;
    }
    x25519_public(private, &mut share.x25519);
    ml_kem_768_encapsulate(&peer.encapsulation_key, m, &mut share.ciphertext, &mut secret.ml_kem)
}
