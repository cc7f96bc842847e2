//! The thread that watches sockets and deadlines for callers on any executor.
//!
//! It is started by the first call that has to wait, serves the whole process, and never ends. The
//! calls themselves run on the callers' executors; this thread wakes them. So nothing depends on
//! whether there is a tokio runtime, on its drivers, or on its clock (D1).

use std::future;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle};

const THREAD_NAME: &str = "shim-mgmt-io";

static REACTOR: OnceLock<Handle> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// The runtime with the drivers. A failure to start it is not remembered.
pub(super) fn reactor() -> io::Result<&'static Handle> {
    if let Some(handle) = REACTOR.get() {
        return Ok(handle);
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = REACTOR.get() {
        return Ok(handle);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .spawn(move || runtime.block_on(future::pending::<()>()))?;
    Ok(REACTOR.get_or_init(|| handle))
}
