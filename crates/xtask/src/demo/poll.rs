//! Asking a server again and again, to see when its answer changes: what a plugin does, often enough to measure milliseconds.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How often it is asked: the resolution of what is measured.
const POLL: Duration = Duration::from_millis(2);

/// The longest that anything here may take; all of it takes a second on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A path of a server on loopback, and the token to ask with.
pub(super) struct Target<'a> {
    pub(super) port: u16,
    pub(super) path: &'a str,
    pub(super) token: &'a str,
}

impl Target<'_> {
    /// Waits for an answer that is good, and gives it with the moment when it came.
    pub(super) async fn until(&self, what: &str, good: impl Fn(&str) -> bool) -> Result<(Instant, String)> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = "nothing".to_owned();
        while Instant::now() < deadline {
            // A server that isn't there yet, or a while away, is why this asks again.
            match self.get().await {
                Ok(body) if good(&body) => return Ok((Instant::now(), body)),
                Ok(body) => seen = body,
                Err(error) => seen = format!("{error:#}"),
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("waited {PATIENCE:?} for {what}; seen last: {seen}")
    }

    /// The body of an answer with status 200.
    async fn get(&self) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let Self { port, path, token } = self;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no whole answer")?;
        if !head.starts_with("HTTP/1.1 200 ") {
            bail!("{} {body}", head.lines().next().unwrap_or_default());
        }
        Ok(body.to_owned())
    }
}
