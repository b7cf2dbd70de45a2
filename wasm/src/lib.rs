//! The crypto of sotto that runs in WebAssembly: thin exports over audited or verified crates, no arithmetic of its own.
//!
//! The caller owns the memory behind `__heap_base` and passes offsets into it: there is no allocator here. Arrays are of
//! fixed length and may not overlap; what has a length of its own comes as offset and length. Results that may fail are
//! an `i32`: `OK` or another code of `code.rs`. Nothing traps on what an outsider sends: lengths are the caller's to
//! check, contents are checked here. The caller wipes what it wrote and read.

#![no_std]

mod chacha20_poly1305;
mod code;
mod ed25519;
mod hash;
mod hpke;
mod hybrid;
mod key_schedule;
mod ml_kem;
mod nist;
mod prf;
mod x25519;

/// The code has one thread: the tables of P-256 and P-384 are built under a lock that nobody else can want.
struct OneThread;
critical_section::set_impl!(OneThread);

unsafe impl critical_section::Impl for OneThread {
    unsafe fn acquire() -> critical_section::RawRestoreState {}
    unsafe fn release(_state: critical_section::RawRestoreState) {}
}

/// Bytes of the caller's.
///
/// # Safety
/// `at` and `length` lie within its memory, and nothing writes there during the call.
unsafe fn bytes<'a>(at: *const u8, length: usize) -> &'a [u8] {
    unsafe { core::slice::from_raw_parts(at, length) }
}

/// Bytes of the caller's that are written to.
///
/// # Safety
/// As for `bytes`, and no other slice of the call overlaps them.
unsafe fn bytes_mut<'a>(at: *mut u8, length: usize) -> &'a mut [u8] {
    unsafe { core::slice::from_raw_parts_mut(at, length) }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
