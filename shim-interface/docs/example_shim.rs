// What the examples of the documentation talk to: a directory with one sandbox, `web-1`, and a
// thread that answers like its shim. Included by each of them, hidden.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use shim_interface::{StorageRoots, find_sandbox_in};

/// The directory lasts as long as the first value.
pub fn start() -> (tempfile::TempDir, StorageRoots) {
    let dir = tempfile::tempdir().unwrap();
    let roots = StorageRoots::under(dir.path());
    std::fs::create_dir_all(roots.runtime_rs.join("web-1")).unwrap();
    let socket = find_sandbox_in(&roots, "web-1").unwrap();
    let listener = UnixListener::bind(socket.socket_path()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.unwrap()));
        }
    });
    (dir, roots)
}

fn serve(mut stream: UnixStream) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
            rest.split("\r\n").next().unwrap().parse().unwrap()
        });
        stream.read_exact(&mut vec![0; length]).unwrap();
        let (status, body) = match head.split(['?', ' ']).collect::<Vec<_>>()[..] {
            ["GET", "/agent-url", ..] => ("200 OK", "vsock://3:1024"),
            ["GET", "/metrics", ..] => ("200 OK", "kata_shim_threads 7\n"),
            ["GET", "/iptables" | "/ip6tables", ..] => ("200 OK", "*filter\nCOMMIT\n"),
            ["POST", "/direct-volume/stats", ..] => ("200 OK", "{\"usage\":[]}"),
            ["POST", "/direct-volume/resize", ..] => ("200 OK", ""),
            ["PUT", "/policy" | "/iptables" | "/ip6tables", ..] => ("200 OK", ""),
            _ => ("404 Not Found", "URL NOT FOUND"),
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).unwrap();
    }
}
