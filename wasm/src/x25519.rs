//! X25519 (RFC 7748). An all-zero secret is `INVALID` (RFC 9846 §7.4.2); private keys are clamped here.

use crate::code::{INVALID, OK};
use curve25519_dalek::montgomery::MontgomeryPoint;

#[unsafe(no_mangle)]
pub extern "C" fn x25519_public(private: &[u8; 32], public: &mut [u8; 32]) {
    *public = MontgomeryPoint::mul_base_clamped(*private).to_bytes();
}

#[unsafe(no_mangle)]
pub extern "C" fn x25519_agree(private: &[u8; 32], peer: &[u8; 32], secret: &mut [u8; 32]) -> i32 {
    *secret = MontgomeryPoint(*peer).mul_clamped(*private).to_bytes();
    // Looks at every byte, whichever differs from zero.
    let seen = secret.iter().fold(0, |seen, byte| seen | byte);
    if seen == 0 { INVALID } else { OK }
}

/// The server's half at once. `private` is random bytes.
#[unsafe(no_mangle)]
pub extern "C" fn x25519_answer(
    private: &[u8; 32],
    peer: &[u8; 32],
    public: &mut [u8; 32],
    secret: &mut [u8; 32],
) -> i32 {
    let code = x25519_agree(private, peer, secret);
    if code == OK {
        x25519_public(private, public);
    }
    code
}
