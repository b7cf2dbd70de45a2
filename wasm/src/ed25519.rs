//! Ed25519 (RFC 8032).

use crate::bytes;
use crate::code::{INVALID, OK};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

#[unsafe(no_mangle)]
pub extern "C" fn ed25519_sign(
    seed: &[u8; 32],
    text: *const u8,
    length: usize,
    signature: &mut [u8; 64],
) {
    *signature = SigningKey::from_bytes(seed).sign(unsafe { bytes(text, length) }).to_bytes();
}

/// Keys and commitments of low order are refused.
#[unsafe(no_mangle)]
pub extern "C" fn ed25519_verify(
    public: &[u8; 32],
    text: *const u8,
    length: usize,
    signature: &[u8; 64],
) -> i32 {
    let Ok(public) = VerifyingKey::from_bytes(public) else {
        return INVALID;
    };
    let text = unsafe { bytes(text, length) };
    match public.verify_strict(text, &Signature::from_bytes(signature)) {
        Ok(()) => OK,
        Err(_) => INVALID,
    }
}
