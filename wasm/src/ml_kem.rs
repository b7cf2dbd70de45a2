//! ML-KEM-768 (FIPS 203).

use crate::code::{INVALID, OK};
use libcrux_ml_kem::mlkem768;

/// `seed` is d ‖ z.
#[unsafe(no_mangle)]
pub extern "C" fn ml_kem_768_generate(
    seed: &[u8; 64],
    encapsulation_key: &mut [u8; 1184],
    decapsulation_key: &mut [u8; 2400],
) {
    let pair = mlkem768::generate_key_pair(*seed);
    encapsulation_key.copy_from_slice(pair.pk());
    decapsulation_key.copy_from_slice(pair.sk());
}

/// `INVALID` where a coefficient is not reduced (§7.2). `m` is random bytes.
#[unsafe(no_mangle)]
pub extern "C" fn ml_kem_768_encapsulate(
    encapsulation_key: &[u8; 1184],
    m: &[u8; 32],
    ciphertext: &mut [u8; 1088],
    secret: &mut [u8; 32],
) -> i32 {
    let key = encapsulation_key.into();
    if !mlkem768::validate_public_key(&key) {
        return INVALID;
    }
    let (sealed, shared) = mlkem768::encapsulate(&key, *m);
    ciphertext.copy_from_slice(sealed.as_slice());
    *secret = shared;
    OK
}

/// A wrong ciphertext gives another secret (implicit rejection).
#[unsafe(no_mangle)]
pub extern "C" fn ml_kem_768_decapsulate(
    decapsulation_key: &[u8; 2400],
    ciphertext: &[u8; 1088],
    secret: &mut [u8; 32],
) {
    *secret = mlkem768::decapsulate(&decapsulation_key.into(), &ciphertext.into());
}
