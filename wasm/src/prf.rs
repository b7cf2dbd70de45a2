//! HMAC under one key, for several texts: the key's two blocks are hashed once.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha384};

pub const MAX_HASH_LENGTH: usize = 48;

pub trait Prf {
    const HASH_LENGTH: usize;
    fn keyed(key: &[u8]) -> Self;
    /// HMAC over all `parts`; `out` takes as much of it as it has room for.
    fn mac(&self, parts: &[&[u8]], out: &mut [u8]);
    /// Hash(""), 48 bytes of room.
    fn empty_hash() -> [u8; MAX_HASH_LENGTH];
}

macro_rules! prf {
    ($hash:ty, $length:expr) => {
        impl Prf for Hmac<$hash> {
            const HASH_LENGTH: usize = $length;

            #[inline(never)]
            fn keyed(key: &[u8]) -> Self {
                match <Hmac<$hash> as KeyInit>::new_from_slice(key) {
                    Ok(keyed) => keyed,
                    Err(_) => unreachable!(), // HMAC takes keys of any length
                }
            }

            #[inline(never)]
            fn mac(&self, parts: &[&[u8]], out: &mut [u8]) {
                let mut running = self.clone();
                for part in parts {
                    running.update(part);
                }
                out.copy_from_slice(&running.finalize().into_bytes()[..out.len()]);
            }

            fn empty_hash() -> [u8; MAX_HASH_LENGTH] {
                let mut out = [0; MAX_HASH_LENGTH];
                out[..$length].copy_from_slice(&<$hash>::digest([]));
                out
            }
        }
    };
}

prf!(Sha256, 32);
prf!(Sha384, 48);
