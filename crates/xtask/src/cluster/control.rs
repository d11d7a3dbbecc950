//! What a supervisor can be asked over its Unix socket: one line each way.
//!
//! `stop`, `apiserver stop`, `apiserver kill` or `apiserver start`, and with nodes `node n1 kill` or `node n1 start`; the answer is `ok` once it is done, or `error: ` and what went wrong.

use std::path::Path;

use super::nodes;
use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// The longest request is `apiserver start` and its line feed.
const MAX_LINE: u64 = 64;

/// What to do with the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ApiServer {
    /// Ask it to end, kill it after 5 s, and wait until it is gone
    Stop,
    /// Kill it, as a crash would
    Kill,
    /// Start it again, and wait until it is ready
    Start,
}

/// What to do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// Cut it.
    Kill,
    /// Start the node again, with nothing on its disk, and wait until it is Ready.
    Start,
}

/// A request to a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// End everything.
    Stop,
    ApiServer(ApiServer),
    Node(nodes::Name, Power),
}

impl Request {
    fn line(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::ApiServer(ApiServer::Stop) => "apiserver stop",
            Self::ApiServer(ApiServer::Kill) => "apiserver kill",
            Self::ApiServer(ApiServer::Start) => "apiserver start",
            Self::Node(nodes::Name::N1, Power::Kill) => "node n1 kill",
            Self::Node(nodes::Name::N1, Power::Start) => "node n1 start",
            Self::Node(nodes::Name::N2, Power::Kill) => "node n2 kill",
            Self::Node(nodes::Name::N2, Power::Start) => "node n2 start",
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let all = [
            Self::Stop,
            Self::ApiServer(ApiServer::Stop),
            Self::ApiServer(ApiServer::Kill),
            Self::ApiServer(ApiServer::Start),
        ];
        let nodes = nodes::Name::ALL
            .into_iter()
            .flat_map(|name| [Self::Node(name, Power::Kill), Self::Node(name, Power::Start)]);
        all.into_iter().chain(nodes).find(|request| request.line() == line)
    }
}

/// Sends a request and waits until it is done.
pub(crate) async fn ask(socket: &Path, request: Request) -> Result<()> {
    let mut stream = UnixStream::connect(socket)
        .await
        .with_context(|| format!("no supervisor listens on {}", socket.display()))?;
    stream.write_all(format!("{}\n", request.line()).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.trim_end() {
        "ok" => Ok(()),
        "" => bail!("the supervisor went away before it answered `{}`", request.line()),
        other => bail!("{}", other.strip_prefix("error: ").unwrap_or(other)),
    }
}

/// Reads the request of a connection.
pub(crate) async fn receive(stream: &mut UnixStream) -> Result<Request> {
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line).await?;
    Request::parse(line.trim_end()).with_context(|| format!("`{}` is no request", line.trim_end()))
}

/// Answers it.
pub(crate) async fn answer(stream: &mut UnixStream, outcome: &Result<()>) {
    let line = match outcome {
        Ok(()) => "ok\n".to_owned(),
        Err(error) => format!("error: {error:#}\n"),
    };
    // Who asked may have gone; what was asked for is done all the same.
    let _ = stream.write_all(line.as_bytes()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_reads_back() {
        for line in [
            "stop",
            "apiserver stop",
            "apiserver kill",
            "apiserver start",
            "node n2 kill",
            "node n1 start",
        ] {
            assert_eq!(Request::parse(line).map(Request::line), Some(line));
        }
        assert_eq!(Request::parse("apiserver"), None);
    }
}
