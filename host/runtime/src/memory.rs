//! How the allocator gives memory back.

/// Blocks from this size on are the system's own pages, and go back to it at once.
const LARGE_BLOCK_OCTETS: i32 = 4 << 20;

/// Fixes from where on blocks are given back when they are freed. glibc raises that bound by itself with each large
/// block that is freed; then the 19 MiB of a password's hash stay with every thread that ever made one. To be called
/// once, before threads are started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub fn give_back_large_blocks() {
    // SAFETY: mallopt takes two numbers and changes the allocator's settings, under its own lock.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BLOCK_OCTETS) };
}

/// Other allocators have no such habit.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back_large_blocks() {
    let _ = LARGE_BLOCK_OCTETS;
}
