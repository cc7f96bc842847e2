//! Work that blocks, on a thread of its own.
//!
//! No thread is kept for it: an idle agent has none to wake up. Unlike `spawn_blocking`, this works
//! outside of a runtime, and reports that there can be no thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use anyhow::{Context, Result, anyhow};
use tokio::sync::oneshot;

/// Enough for any run; only what is touched counts.
const STACK_SIZE: usize = 256 * 1024;

/// Starts `work`. Its result goes to `report`, also that of a panic.
///
/// # Errors
///
/// There can be no thread; neither has been called.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
    report: impl FnOnce(Result<T>) + Send + 'static,
) -> Result<()> {
    let body = move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        report(result.unwrap_or_else(|panic| Err(anyhow!("panicked: {}", message(&*panic)))));
    };
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_SIZE)
        .spawn(body)
        .context("cannot start a thread")?;
    Ok(())
}

/// Does `work` without blocking the caller's executor, whichever that is.
///
/// # Errors
///
/// Those of `work`; it has panicked; there can be no thread.
pub(crate) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (tx, rx) = oneshot::channel();
    start(name, work, move |result| {
        // Nobody waits any more.
        let _: Result<(), _> = tx.send(result);
    })?;
    rx.await.context("the thread has gone")?
}

/// What a panic says.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn result_and_panic_arrive() {
        assert_eq!(run("test", || Ok(3)).await.unwrap(), 3);
        let error = run::<()>("test", || panic!("no {}", "luck"))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "panicked: no luck");
        let error = run::<()>("test", || Err(anyhow!("no"))).await.unwrap_err();
        assert_eq!(error.to_string(), "no");
    }
}
