//! ChaCha20-Poly1305 (RFC 8439), in place, the tag behind it.

use crate::code::{INVALID, OK};
use crate::{bytes, bytes_mut};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Tag};

const TAG_LENGTH: usize = 16;

/// `text` has room for the tag behind its `length` bytes.
#[unsafe(no_mangle)]
pub extern "C" fn chacha20_poly1305_seal(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: *const u8,
    aad_length: usize,
    text: *mut u8,
    length: usize,
) -> i32 {
    let (aad, text) = unsafe { (bytes(aad, aad_length), bytes_mut(text, length + TAG_LENGTH)) };
    let (text, tag) = text.split_at_mut(length);
    let cipher = ChaCha20Poly1305::new(key.into());
    match cipher.encrypt_inout_detached(nonce.into(), aad, text.into()) {
        Ok(sealed) => {
            tag.copy_from_slice(&sealed);
            OK
        }
        Err(_) => INVALID, // 256 GB and more
    }
}

/// `length` is without the tag. Where it does not verify, nothing is decrypted.
#[unsafe(no_mangle)]
pub extern "C" fn chacha20_poly1305_open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: *const u8,
    aad_length: usize,
    text: *mut u8,
    length: usize,
) -> i32 {
    let (aad, text) = unsafe { (bytes(aad, aad_length), bytes_mut(text, length + TAG_LENGTH)) };
    let (text, tag) = text.split_at_mut(length);
    let mut expected = Tag::default();
    expected.copy_from_slice(tag);
    let cipher = ChaCha20Poly1305::new(key.into());
    match cipher.decrypt_inout_detached(nonce.into(), aad, text.into(), &expected) {
        Ok(()) => OK,
        Err(_) => INVALID,
    }
}
