//! P-256 and P-384: key agreement and ECDSA. Points are uncompressed, private keys big-endian and in [1, n), signatures
//! DER, with room for the longest.
//!
//! Signatures are hedged: the nonce comes from the key, the text and `entropy` (RFC 6979 §3.6), so that neither a bad
//! random source nor a fault while the same text is signed twice gives the key away.

use crate::bytes;
use crate::code::{BAD_KEY, INVALID, OK};
use ::p256::elliptic_curve::Group;
use ::p256::elliptic_curve::point::AffineCoordinates;
use ::p256::elliptic_curve::sec1::ToSec1Point;
use ecdsa::hazmat::{sign_prehashed_rfc6979, verify_prehashed};
use sha2::{Digest, Sha256, Sha384};

macro_rules! curve {
    ($curve:ident::$Curve:ident, $hash:ty, private $length:expr, point $point:expr, der $der:expr,
     $public:ident, $agree:ident, $answer:ident, $sign:ident, $verify:ident) => {
        #[unsafe(no_mangle)]
        pub extern "C" fn $public(private: &[u8; $length], public: &mut [u8; $point]) -> i32 {
            let Some(private) = $curve::private_key(private) else {
                return BAD_KEY;
            };
            let point = $curve::ProjectivePoint::mul_by_generator(&private).to_affine();
            public.copy_from_slice(point.to_sec1_point(false).as_bytes());
            OK
        }

        #[unsafe(no_mangle)]
        pub extern "C" fn $agree(
            private: &[u8; $length],
            peer: &[u8; $point],
            secret: &mut [u8; $length],
        ) -> i32 {
            let Some(private) = $curve::private_key(private) else {
                return BAD_KEY;
            };
            let Some(peer) = $curve::public_key(peer) else {
                return INVALID;
            };
            // The order of the group is prime: no product is the point at infinity.
            secret.copy_from_slice(&(peer * *private).to_affine().x());
            OK
        }

        /// The server's half at once. `private` is random bytes; `BAD_KEY` asks for others.
        #[unsafe(no_mangle)]
        pub extern "C" fn $answer(
            private: &[u8; $length],
            peer: &[u8; $point],
            public: &mut [u8; $point],
            secret: &mut [u8; $length],
        ) -> i32 {
            match $agree(private, peer, secret) {
                OK => $public(private, public),
                code => code,
            }
        }

        /// The length of the signature, or a code.
        #[unsafe(no_mangle)]
        pub extern "C" fn $sign(
            private: &[u8; $length],
            entropy: &[u8; 32],
            text: *const u8,
            length: usize,
            signature: &mut [u8; $der],
        ) -> i32 {
            let Some(private) = $curve::private_key(private) else {
                return BAD_KEY;
            };
            let digest = <$hash>::digest(unsafe { bytes(text, length) });
            let (signed, _) =
                sign_prehashed_rfc6979::<$curve::$Curve, $hash>(&private, &digest, entropy);
            let signed = $curve::ecdsa::DerSignature::from(signed);
            let signed = signed.as_bytes();
            signature[..signed.len()].copy_from_slice(signed);
            signed.len() as i32
        }

        #[unsafe(no_mangle)]
        pub extern "C" fn $verify(
            public: &[u8; $point],
            text: *const u8,
            length: usize,
            signature: *const u8,
            signature_length: usize,
        ) -> i32 {
            let text = unsafe { bytes(text, length) };
            let signature = unsafe { bytes(signature, signature_length) };
            let Some(public) = $curve::public_key(public) else {
                return INVALID;
            };
            let Ok(signature) = $curve::ecdsa::Signature::from_der(signature) else {
                return INVALID;
            };
            match verify_prehashed(&public, &<$hash>::digest(text), &signature) {
                Ok(()) => OK,
                Err(_) => INVALID,
            }
        }

        mod $curve {
            pub use ::$curve::*;

            pub fn private_key(bytes: &[u8; $length]) -> Option<NonZeroScalar> {
                NonZeroScalar::from_repr((*bytes).into()).into_option()
            }

            pub fn public_key(point: &[u8; $point]) -> Option<ProjectivePoint> {
                if point[0] != 0x04 {
                    return None; // the "hybrid" form is as long as the uncompressed one
                }
                PublicKey::from_sec1_bytes(point).ok().map(|key| key.to_projective())
            }
        }
    };
}

curve!(
    p256::NistP256, Sha256, private 32, point 65, der 72,
    p256_public, p256_agree, p256_answer, p256_sign, p256_verify
);
curve!(
    p384::NistP384, Sha384, private 48, point 97, der 104,
    p384_public, p384_agree, p384_answer, p384_sign, p384_verify
);
