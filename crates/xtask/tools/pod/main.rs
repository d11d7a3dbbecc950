//! What runs in Pods that tests make: a process that does nothing, which is also that of every Pod's sandbox, and a client that asks for one thing.
//!
//! `pod` waits; `pod get HOST:PORT PATH [HEADER]…` prints the status and, after it, the body. Its resolver is that of our own static programs.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

/// How long a connection may take to be made: longer, and its packets are dropped.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// How long an answer may take to go on.
const READ_PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(command) = args.next() else {
        loop {
            std::thread::park();
        }
    };
    let asked = match (command.as_str(), args.next(), args.next()) {
        ("get", Some(host), Some(path)) => get(&host, &path, &args.collect::<Vec<_>>()),
        _ => Err(std::io::Error::other("pod get HOST:PORT PATH [HEADER]…")),
    };
    match asked {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn get(host: &str, path: &str, headers: &[String]) -> std::io::Result<String> {
    let address = host.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| std::io::Error::other("a name without an address"))?;
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_PATIENCE)?;
    stream.set_read_timeout(Some(READ_PATIENCE))?;
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or("no status");
    Ok(format!("{status}\n{body}"))
}
