//! How many files and sockets the system allows us.

/// Raises the limit of open files to `wanted`, or as far as the system lets us. Gives the limit
/// that holds then.
#[allow(unsafe_code)]
pub(super) fn raise(wanted: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid pointer to a local of the right type and keep none of it.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 0;
        }
        let before = limit.rlim_cur;
        limit.rlim_cur = wanted.clamp(before, limit.rlim_max.max(before));
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0 {
            return before;
        }
    }
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_never_falls() {
        let before = super::raise(0);
        assert!(before > 0);
        assert_eq!(super::raise(1), before);
    }
}
