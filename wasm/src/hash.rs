//! SHA-256, SHA-384 and HMAC. `out` has room for the hash: 32 or 48 bytes.
//!
//! A running hash lives with the caller, as the bytes that SHA-2's state is written out to.

use crate::prf::Prf;
use crate::{bytes, bytes_mut};
use digest::common::hazmat::{SerializableState, SerializedState};
use hmac::Hmac;
use sha2::digest;
use sha2::{Digest, Sha256, Sha384};

macro_rules! hash {
    ($hash:ty, $length:expr, $whole:ident, $start:ident, $update:ident, $state_digest:ident, $state_length:ident, $hmac:ident) => {
        #[unsafe(no_mangle)]
        pub extern "C" fn $whole(text: *const u8, length: usize, out: &mut [u8; $length]) {
            out.copy_from_slice(&<$hash>::digest(unsafe { bytes(text, length) }));
        }

        #[unsafe(no_mangle)]
        pub extern "C" fn $state_length() -> usize {
            SerializedState::<$hash>::default().len()
        }

        #[unsafe(no_mangle)]
        pub extern "C" fn $start(state: *mut u8) {
            save(&<$hash>::new(), state);
        }

        /// False: `state` is not one that this module wrote.
        #[unsafe(no_mangle)]
        pub extern "C" fn $update(state: *mut u8, text: *const u8, length: usize) -> bool {
            let Some(mut running) = load::<$hash>(state) else {
                return false;
            };
            running.update(unsafe { bytes(text, length) });
            save(&running, state);
            true
        }

        /// The hash of what came so far; `state` stays.
        #[unsafe(no_mangle)]
        pub extern "C" fn $state_digest(state: *const u8, out: &mut [u8; $length]) -> bool {
            let Some(running) = load::<$hash>(state) else {
                return false;
            };
            out.copy_from_slice(&running.finalize());
            true
        }

        #[unsafe(no_mangle)]
        pub extern "C" fn $hmac(
            key: *const u8,
            key_length: usize,
            text: *const u8,
            length: usize,
            out: &mut [u8; $length],
        ) {
            let (key, text) = unsafe { (bytes(key, key_length), bytes(text, length)) };
            Hmac::<$hash>::keyed(key).mac(&[text], out);
        }
    };
}

hash!(Sha256, 32, sha256, sha256_start, sha256_update, sha256_digest, sha256_state_length, hmac_sha256);
hash!(Sha384, 48, sha384, sha384_start, sha384_update, sha384_digest, sha384_state_length, hmac_sha384);

fn save<H: SerializableState>(running: &H, state: *mut u8) {
    let saved = running.serialize();
    unsafe { bytes_mut(state, saved.len()) }.copy_from_slice(&saved);
}

fn load<H: SerializableState>(state: *const u8) -> Option<H> {
    let mut saved = SerializedState::<H>::default();
    let length = saved.len();
    saved.copy_from_slice(unsafe { bytes(state, length) });
    H::deserialize(&saved).ok()
}
