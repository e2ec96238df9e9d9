//! What this process takes up, as the system counts it.

use std::fs;

/// Ticks of a second in which Linux counts processor time for programs (`USER_HZ`), on all machines of now.
const TICKS_PER_SECOND: f64 = 100.0;

/// What this process takes up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessUse {
    /// Processor time of all threads since the start, in seconds.
    pub cpu_seconds: f64,
    /// Octets that are resident, mapped files included.
    pub resident_octets: u64,
    /// Threads.
    pub threads: u64,
    /// Files and sockets that are open.
    pub open_files: u64,
}

impl ProcessUse {
    /// As it is now; `None` where the system does not say: on others than Linux.
    #[must_use]
    pub fn now() -> Option<Self> {
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        Self::read(&stat, &status, open_files)
    }

    fn read(stat: &str, status: &str, open_files: u64) -> Option<Self> {
        // The name of the program, in parentheses, may hold anything (proc(5)); utime and stime are the 14th and 15th field.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = |name: &str| line(name)?.split_ascii_whitespace().next()?.parse::<u64>().ok();
        Some(Self {
            cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
            resident_octets: number("VmRSS")? * 1024,
            threads: number("Threads")?,
            open_files,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_whatever_the_program_is_called() {
        let stat = "7 (a) S 1 (b)) S 1 1 1 0 -1 4194560 2 3 4 5 150 25 0 0 20 0 9 0";
        let status = "Name:\ta\nVmHWM:\t 9 kB\nVmRSS:\t     12 kB\nThreads:\t3\n";
        let read = ProcessUse::read(stat, status, 5).unwrap();
        let expected =
            ProcessUse { cpu_seconds: 1.75, resident_octets: 12 * 1024, threads: 3, open_files: 5 };
        assert_eq!(read, expected);
        assert!(ProcessUse::read("7 (a", status, 5).is_none() && ProcessUse::read(stat, "", 5).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_up_something() {
        let now = ProcessUse::now().unwrap();
        assert!(now.resident_octets > 0 && now.threads > 0 && now.open_files > 0);
    }
}
