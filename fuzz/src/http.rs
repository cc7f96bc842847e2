//! A server in the place of a shim, which says what it is told to.

use std::collections::VecDeque;
use std::fs;
use std::future::Future;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::{Pin, pin};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use shim_interface::{Sandbox, StorageRoots, find_sandbox_in};

/// A long time, which no call takes.
pub const TIMEOUT: Option<Duration> = Some(Duration::from_secs(15));

/// How long a client may take to see that a response is complete, before the server ends it.
const PATIENCE: Duration = Duration::from_millis(2);

/// The response to one request.
pub struct Job {
    pieces: VecDeque<Vec<u8>>,
    is_last: bool,
}

impl Job {
    /// In these pieces, behind which the connection ends.
    pub fn last(pieces: Vec<Vec<u8>>) -> Self {
        Self {
            pieces: pieces.into(),
            is_last: true,
        }
    }

    /// Behind which the connection stays open, if the client sees where it ends.
    pub fn first(response: &[u8]) -> Self {
        Self {
            pieces: VecDeque::from([response.to_vec()]),
            is_last: false,
        }
    }
}

/// Head and body of a request.
type Request = (String, Vec<u8>);

/// The server, in a thread of its own.
pub struct Shim {
    sandbox: Sandbox,
    jobs: SyncSender<Vec<Job>>,
    done: SyncSender<()>,
    requests: Receiver<Request>,
    tokio: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

static SHIM: LazyLock<Mutex<Shim>> = LazyLock::new(|| Mutex::new(Shim::start()));

/// Requests that are being served.
pub struct Session<'a>(&'a Shim);

impl Session<'_> {
    /// The client has the answer to a request: waits until the server knows. Returns the request.
    pub fn done(&mut self) -> Request {
        self.0.done.send(()).expect("the server is there");
        self.0.requests.recv().expect("the server is there")
    }
}

impl Shim {
    /// The server of this process.
    pub fn lock() -> MutexGuard<'static, Self> {
        SHIM.lock().expect("no panic while locked")
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Serves as many requests, each of which must be made.
    pub fn serve(&self, jobs: Vec<Job>) -> Session<'_> {
        self.jobs.send(jobs).expect("the server is there");
        Session(self)
    }

    /// Runs a future in a runtime with an I/O driver.
    pub fn in_tokio(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.tokio.block_on(future);
    }

    /// Runs a future in this thread alone.
    pub fn without_driver(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut future = pin!(future);
        while future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
        {
            thread::park();
        }
    }

    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        let roots = StorageRoots::under(dir.path().canonicalize().expect("it is there"));
        fs::create_dir_all(roots.runtime_rs.join("web-1")).expect("a new directory");
        let sandbox = find_sandbox_in(&roots, "web-1").expect("it is there");
        let listener = UnixListener::bind(sandbox.socket_path()).expect("a new socket");
        let (jobs, next) = sync_channel(1);
        let (done, seen) = sync_channel(1);
        let (answered, requests) = sync_channel(1);
        thread::spawn(move || {
            for jobs in next {
                serve(&listener, jobs, &seen, &answered);
            }
        });
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            sandbox,
            jobs,
            done,
            requests,
            tokio: tokio.expect("a runtime"),
            _dir: dir,
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn serve(
    listener: &UnixListener,
    jobs: Vec<Job>,
    seen: &Receiver<()>,
    answered: &SyncSender<Request>,
) {
    let mut kept: Option<UnixStream> = None;
    for job in jobs {
        let (mut stream, request) = next_request(listener, kept.take());
        for piece in job.pieces {
            // The client hangs up when it has seen enough.
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
        let is_seen = !job.is_last && seen.recv_timeout(PATIENCE).is_ok();
        if !is_seen {
            let _ = stream.shutdown(Shutdown::Write);
            seen.recv().expect("somebody has an answer");
        }
        // Only now may the next request come: the connection is open, or seen not to be.
        answered.send(request).expect("somebody waits");
        kept = Some(stream);
    }
}

/// On the connection that there is, unless the client has closed it.
fn next_request(listener: &UnixListener, kept: Option<UnixStream>) -> (UnixStream, Request) {
    if let Some(mut stream) = kept
        && let Some(request) = read_request(&mut stream)
    {
        return (stream, request);
    }
    loop {
        let (mut stream, _) = listener.accept().expect("a client");
        if let Some(request) = read_request(&mut stream) {
            return (stream, request);
        }
    }
}

fn read_request(stream: &mut UnixStream) -> Option<Request> {
    let mut data = Vec::new();
    let mut block = [0; 4096];
    loop {
        let head = data.windows(4).position(|part| part == b"\r\n\r\n");
        if let Some(end) = head {
            let head = String::from_utf8(data[..end].to_vec()).expect("ASCII");
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().expect("a number"))
            });
            let body = &data[end + 4..];
            if body.len() >= length.unwrap_or(0) {
                return Some((head, body.to_vec()));
            }
        }
        match stream.read(&mut block) {
            Ok(count) if count > 0 => data.extend_from_slice(&block[..count]),
            _ => return None,
        }
    }
}
