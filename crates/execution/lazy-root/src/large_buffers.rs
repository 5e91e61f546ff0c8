//! Buffers that are too large for how glibc thinks of memory.
//!
//! Those of `fuser` have 16 MiB for each thread that serves a mount, of which the kernel fills a few hundred bytes.
//!
//! They cost nothing while they are pages that nobody has touched. But glibc, once it has seen one freed, takes the next
//! ones from its heap, where it has to write zeros over all of them, and keeps them there: some hundred megabytes for a
//! few actions at a time.
//!
//! The pieces of a blob on its way have about a mebibyte. With a threshold that is set, glibc gives the end of its heap back
//! whenever 128 KiB of it are free, so each piece is taken from the kernel anew, page by page: a fifth of what receiving a
//! large blob costs.
#![allow(
    unsafe_code,
    reason = "the one way to tell an allocator what it should not do"
)]

/// Has large buffers mapped by themselves for as long as the process lives, and given back when they are freed, and keeps
/// some memory for those that come and go. To be called before the process has a second thread; later it does nothing. Only glibc needs it.
pub fn keep_large_buffers_apart() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Far above what is often allocated and freed, and below those buffers.
        const LARGE_BYTES: libc::c_int = 8 << 20;
        let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
        if threads.is_ok_and(|threads| threads == 1) {
            /// What a heap may keep at its end: some pieces of blobs, in each of the few heaps that threads share.
            const KEPT_BYTES: libc::c_int = 8 << 20;
            // SAFETY: mallopt changes numbers of the allocator, for which it must be the only one to use it: there is no
            // other thread, as was just seen, and this one does nothing else meanwhile.
            let accepted = unsafe {
                [
                    libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES),
                    libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES),
                ]
            };
            debug_assert_eq!(accepted, [1, 1], "thresholds that glibc takes");
        }
    }
}
