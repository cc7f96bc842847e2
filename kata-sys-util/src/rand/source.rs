//! Where random bytes come from.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Instant, SystemTime};

use slog::warn;

use crate::open::open_device;
use crate::sl;
use crate::sys;

const DEVICE: &str = "/dev/urandom";
const DEVICE_NUMBER: (u32, u32) = (1, 9);

/// Fills `buffer` with random bytes of the kernel.
///
/// If a seccomp filter keeps them away and there is no `/dev/urandom` either, or something else in its
/// place, the bytes are only unlikely to repeat, and a warning is logged.
pub(crate) fn fill(buffer: &mut [u8]) {
    let result = fill_from_kernel(buffer).or_else(|_| fill_from_device(Path::new(DEVICE), buffer));
    if let Err(error) = result {
        warn!(
            sl!(),
            "no random numbers, identifiers may be guessed: {DEVICE}: {error}"
        );
        fill_with_hashes(buffer);
    }
}

fn fill_from_kernel(mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match sys::getrandom(buffer) {
            Ok(count) => buffer = buffer.get_mut(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn fill_from_device(device: &Path, buffer: &mut [u8]) -> io::Result<()> {
    open_device(device, DEVICE_NUMBER)?.read_exact(buffer)
}

/// Hashes of what differs between processes, threads and calls.
fn fill_with_hashes(buffer: &mut [u8]) {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    for chunk in buffer.chunks_mut(size_of::<u64>()) {
        let mut hasher = DefaultHasher::new();
        CALLS.fetch_add(1, Ordering::Relaxed).hash(&mut hasher);
        (SystemTime::now(), Instant::now()).hash(&mut hasher);
        (std::process::id(), thread::current().id()).hash(&mut hasher);
        // Differs between processes with address space layout randomisation.
        (chunk.as_ptr().addr(), &raw const CALLS).hash(&mut hasher);
        for (byte, hash) in chunk.iter_mut().zip(hasher.finish().to_ne_bytes()) {
            *byte = hash;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::ffi::CString;
    use std::fs::{self, File};
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    /// Whether `fill` sets every byte of buffers of many sizes, and never twice in the same way.
    fn check(fill: impl Fn(&mut [u8])) {
        fill(&mut []);
        let mut seen = HashSet::new();
        for size in [16, 17, 31, 256, 257, 4096] {
            for _ in 0..8 {
                let mut buffer = vec![0; size];
                fill(&mut buffer);
                assert!(seen.insert(buffer));
            }
        }
        // All 256 runs leave a byte at zero with a probability of 2^-2048.
        let mut or = [0_u8; 40];
        for _ in 0..256 {
            let mut buffer = [0; 40];
            fill(&mut buffer);
            or.iter_mut().zip(buffer).for_each(|(or, byte)| *or |= byte);
        }
        assert!(!or.contains(&0));
    }

    #[test]
    fn every_source_fills_the_whole_buffer_and_does_not_repeat() {
        check(fill);
        check(|buffer| fill_from_kernel(buffer).unwrap());
        check(|buffer| fill_from_device(Path::new(DEVICE), buffer).unwrap());
        check(fill_with_hashes);
    }

    #[test]
    fn what_is_in_the_place_of_the_device_is_not_waited_for_or_read() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, bytes) = (dir.path().join("fifo"), dir.path().join("bytes"));
        let name = CString::new(fifo.as_os_str().as_bytes()).unwrap();
        // SAFETY: a string that ends in NUL and outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        fs::write(&bytes, [7; 16]).unwrap();
        let none = PathBuf::from("/no/such/device");
        for path in [fifo.clone(), bytes, none, "/dev/zero".into()] {
            let (tell, told) = channel();
            let name = path.clone();
            // One that waits for a writer cannot be ended, but by a writer.
            let thread = thread::spawn(move || {
                let mut buffer = [0; 16];
                let result = fill_from_device(&path, &mut buffer);
                tell.send(result.is_err() && buffer == [0; 16])
            });
            let result = told.recv_timeout(Duration::from_secs(20));
            if result.is_err() {
                drop(File::options().read(true).write(true).open(&fifo));
            }
            assert_eq!(result, Ok(true), "{}", name.display());
            thread.join().unwrap().unwrap();
        }
    }
}
