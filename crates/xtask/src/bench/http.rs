//! A client of servers on loopback: one request on one connection.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How often something that isn't so yet is tried again: the resolution of what is measured by it.
const POLL: Duration = Duration::from_millis(5);

pub(super) struct Answer {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn status(&self) -> Result<u16> {
        let status = self.head.split(' ').nth(1);
        Ok(status.context("an answer without a status")?.parse()?)
    }

    pub(super) fn etag(&self) -> Result<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let etag = lines.find_map(|(name, value)| name.eq_ignore_ascii_case("etag").then_some(value));
        etag.context("an answer without an ETag")
    }
}

/// A good answer.
pub(super) async fn get(port: u16, path: &str, headers: &str) -> Result<Answer> {
    let answer = ask(port, path, headers).await?;
    ensure!(answer.status()? == 200, "{path}: {}", answer.head);
    Ok(answer)
}

/// Whatever is answered.
pub(super) async fn ask(port: u16, path: &str, headers: &str) -> Result<Answer> {
    send(port, "GET", path, headers, b"").await
}

/// Whatever is answered to a request with a body; `headers` are whole lines.
pub(super) async fn send(port: u16, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{length}{headers}\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let body = bytes.split_off(end.context("an answer without an end of its head")? + 4);
    Ok(Answer {
        head: String::from_utf8(bytes)?,
        body,
    })
}

/// Tries until it works; the last error when it doesn't within `patience`.
pub(super) async fn until<F: Future<Output = Result<T>>, T>(
    patience: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}
