//! What an export answers.

/// Done; for a signature its length stands in place of this.
pub const OK: i32 = 0;
/// What came from the peer is invalid: not on the curve, of low order, not reduced, a tag or signature that is wrong.
pub const INVALID: i32 = -1;
/// A private key is outside of its range.
pub const BAD_KEY: i32 = -2;
