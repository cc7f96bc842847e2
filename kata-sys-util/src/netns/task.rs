//! A function in another network namespace, on a thread of its own.

use std::any::Any;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::guard::enter;

/// Name of the thread, as in `ps -T`.
const THREAD_NAME: &str = "in-netns";

/// Runs `f` in the network namespace at `path`, and returns its result.
///
/// It runs on a new thread that ends with it, so no other thread changes its namespace. The calling
/// thread waits. `f` may borrow from it.
///
/// # Errors
///
/// `open new netns path …` or `set netns to new netns`, with the [`std::io::Error`] as the cause;
/// no thread could be started; or `f` panicked.
///
/// ```no_run
/// use std::net::TcpListener;
/// use kata_sys_util::netns::run_in_netns;
///
/// let port = 8080;
/// // The socket stays in the pod's namespace when it is used here.
/// let listener = run_in_netns("/var/run/netns/pod", || TcpListener::bind(("0.0.0.0", port)))??;
/// # anyhow::Ok(())
/// ```
pub fn run_in_netns<P, F, T>(path: P, f: F) -> Result<T>
where
    P: AsRef<Path>,
    F: FnOnce() -> T + Send,
    T: Send,
{
    let path = path.as_ref();
    thread::scope(|scope| {
        let builder = thread::Builder::new().name(THREAD_NAME.to_owned());
        let thread = builder
            .spawn_scoped(scope, || enter_and_run(path, f))
            .context("start a thread for the network namespace")?;
        thread.join().unwrap_or_else(|panic| Err(panicked(panic)))
    })
}

/// Starts to run `f` in the network namespace at `path`, on a new thread that ends with it.
///
/// For async code: `.await` the [`NetnsTask`] for the result. It works on any runtime, and no
/// worker thread of it is blocked or changes its namespace.
///
/// ```no_run
/// # async fn example() -> anyhow::Result<()> {
/// use std::net::TcpListener;
/// use kata_sys_util::netns::spawn_in_netns;
///
/// let listener = spawn_in_netns("/var/run/netns/pod", || TcpListener::bind("0.0.0.0:0")).await??;
/// # Ok(())
/// # }
/// ```
pub fn spawn_in_netns<P, F, T>(path: P, f: F) -> NetnsTask<T>
where
    P: Into<PathBuf>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let path = path.into();
    let slot = Arc::new(Slot::default());
    let result = Arc::clone(&slot);
    let work = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| enter_and_run(&path, f)));
        result.put(outcome.unwrap_or_else(|panic| Err(panicked(panic))));
    };
    let builder = thread::Builder::new().name(THREAD_NAME.to_owned());
    if let Err(error) = builder.spawn(work) {
        slot.put(Err(error).context("start a thread for the network namespace"));
    }
    NetnsTask { slot }
}

/// A function that runs in another network namespace; see [`spawn_in_netns`].
///
/// A future of its result. Dropped, it leaves the function running to its end.
///
/// # Errors
///
/// As [`run_in_netns`].
///
/// # Cancel safety
///
/// Polling it through a reference (`&mut task`) loses nothing if that is dropped.
///
/// Polled or joined again after it has given its result, it gives an error.
#[must_use = "the result, and whether the namespace could be entered, are in the task"]
pub struct NetnsTask<T> {
    slot: Arc<Slot<T>>,
}

impl<T> NetnsTask<T> {
    /// Waits for the result; for code that is not async.
    ///
    /// # Errors
    ///
    /// As [`run_in_netns`].
    pub fn join(self) -> Result<T> {
        self.slot.wait()
    }
}

impl<T> Future for NetnsTask<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.slot.poll(context.waker())
    }
}

/// Where the thread leaves the result.
struct Slot<T> {
    state: Mutex<State<T>>,
    is_full: Condvar,
}

enum State<T> {
    Empty(Option<Waker>),
    Full(Result<T>),
    Taken,
}

impl<T> State<T> {
    /// Takes the result out, if there is or was one.
    fn take(&mut self) -> Option<Result<T>> {
        match mem::replace(self, Self::Taken) {
            Self::Full(result) => Some(result),
            Self::Taken => Some(Err(anyhow!("result of the function has been taken"))),
            Self::Empty(waker) => {
                *self = Self::Empty(waker);
                None
            }
        }
    }
}

impl<T> Slot<T> {
    fn put(&self, result: Result<T>) {
        let before = mem::replace(&mut *self.lock(), State::Full(result));
        self.is_full.notify_all();
        if let State::Empty(Some(waker)) = before {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<T>> {
        let mut state = self.lock();
        match state.take() {
            Some(result) => Poll::Ready(result),
            None => {
                *state = State::Empty(Some(waker.clone()));
                Poll::Pending
            }
        }
    }

    fn wait(&self) -> Result<T> {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.take() {
                return result;
            }
            state = self
                .is_full
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No step leaves the state half changed.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State::Empty(None)),
            is_full: Condvar::new(),
        }
    }
}

fn enter_and_run<T>(path: &Path, f: impl FnOnce() -> T) -> Result<T> {
    enter(path)?;
    Ok(f())
}

/// The error for what a function has panicked with. Does not panic, though what it panicked with may
/// do so when dropped, and so on.
fn panicked(panic: Box<dyn Any + Send>) -> anyhow::Error {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let error = anyhow!(
        "function in network namespace panicked: {}",
        message.unwrap_or("no message")
    );
    if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(next);
    }
    error
}
