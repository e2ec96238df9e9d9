//! What a process apart may use: it works on what strangers made.

/// Memory of a compiler, in octets.
const MEMORY_MAX: u64 = 4 << 30;
/// Processor time of a compiler, in seconds.
const CPU_SECONDS_MAX: u64 = 600;
/// Files that it may hold open, besides the standard three.
const FILES_MAX: u64 = 64;

/// Bounds this process for good: memory, processor time, files, no core dump. Best effort: what the system does not
/// let us bound stays bounded by the server's own patience.
#[allow(unsafe_code)]
pub(crate) fn of_a_compiler() {
    let limits = [
        (libc::RLIMIT_AS, MEMORY_MAX),
        (libc::RLIMIT_CPU, CPU_SECONDS_MAX),
        (libc::RLIMIT_NOFILE, FILES_MAX),
        (libc::RLIMIT_CORE, 0),
    ];
    for (what, max) in limits {
        let limit = libc::rlimit { rlim_cur: max, rlim_max: max };
        // SAFETY: the call gets a valid pointer to a local of the right type and keeps none of it.
        unsafe { libc::setrlimit(what, &raw const limit) };
    }
}
