//! What the kernel counted, in the units of the API.

use runner_api::ResourceUsage;

/// `getrusage(2)` in numbers that cannot be negative, times in microseconds, memory in bytes.
pub(crate) fn resource_usage(usage: &libc::rusage) -> ResourceUsage {
    let number = |value: libc::c_long| u64::try_from(value).unwrap_or(0);
    let microseconds = |time: libc::timeval| number(time.tv_sec) * 1_000_000 + number(time.tv_usec);
    ResourceUsage {
        user_us: microseconds(usage.ru_utime),
        system_us: microseconds(usage.ru_stime),
        // Linux counts kibibytes here.
        max_rss_bytes: number(usage.ru_maxrss) * 1024,
        minor_faults: number(usage.ru_minflt),
        major_faults: number(usage.ru_majflt),
        in_blocks: number(usage.ru_inblock),
        out_blocks: number(usage.ru_oublock),
        voluntary_switches: number(usage.ru_nvcsw),
        involuntary_switches: number(usage.ru_nivcsw),
        // The control group knows.
        memory_peak_bytes: 0,
    }
}
