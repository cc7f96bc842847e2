//! The management service of a shim, and a tool that asks it where the agent is, as `kata-ctl` does
//! (`shim-interface`).

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use shim_interface::shim_mgmt::AGENT_URL;
use shim_interface::shim_mgmt::blocking::MgmtClient;
use shim_interface::{SHIM_MGMT_SOCK_NAME, StorageRoots};

use crate::problem::Problem;
use crate::socket::SocketDir;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the management socket of `sandbox` below `root`, for one client. The answer to
/// [`AGENT_URL`] is `agent`.
pub(crate) fn serve(root: &Path, sandbox: &str, agent: &str) -> io::Result<()> {
    let dir = StorageRoots::under(root).runtime_rs.join(sandbox);
    fs::create_dir_all(&dir)?;
    let dir = SocketDir::open(&dir)?;
    let listener = UnixListener::bind(dir.join(SHIM_MGMT_SOCK_NAME))?;
    let agent = agent.to_owned();
    std::thread::Builder::new()
        .name("shim-mgmt".to_owned())
        .spawn(move || {
            // A client that goes away is no concern of the shim.
            let client = listener.accept();
            let _ = client.and_then(|(stream, _)| answer(stream, &agent));
        })
        .map(drop)
}

/// Asks the shim of `sandbox` for the address of its agent.
pub(crate) fn ask_for_agent(root: &Path, sandbox: &str) -> Result<String, Problem> {
    let problem = |e| Problem::new(format!("the shim cannot be asked for its agent: {e:#}"));
    let roots = StorageRoots::under(root);
    let shim = MgmtClient::new_in(&roots, sandbox, Some(TIMEOUT)).map_err(problem)?;
    shim.agent_url().map_err(problem)
}

/// HTTP/1.1 as far as such a client needs it: requests without a body, one after the other.
fn answer(stream: UnixStream, agent: &str) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut stream = stream;
    while let Some(request) = lines.next().transpose()? {
        // The head ends with an empty line.
        for header in lines.by_ref() {
            if header?.is_empty() {
                break;
            }
        }
        let (status, body) = match request.split(' ').collect::<Vec<_>>().as_slice() {
            ["GET", AGENT_URL, _] => ("200 OK", agent),
            _ => ("404 Not Found", "no such resource"),
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
    }
    Ok(())
}
