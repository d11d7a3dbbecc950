//! A cache of one RuleSet that is told what to serve, with waiting polls as our caches have them.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The RuleSet's key.
pub(super) const INSTANCE: &str = "bench/rules";

/// Rules and data files, as the engine's example `bench` writes them.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rules {
    rules: String,
    data_files: Value,
}

impl Rules {
    /// The same with one rule more, as an edit adds it.
    pub(super) fn edited(&self, edit: usize) -> Self {
        let rule = format!("\nSecRule ARGS:edit \"@streq {edit}\" \"id:1000000,phase:2,deny,status:403\"\n");
        Self {
            rules: format!("{}{rule}", self.rules),
            data_files: self.data_files.clone(),
        }
    }
}

/// A revision with its answers made ready.
struct Served {
    tag: String,
    latest: Vec<u8>,
    rules: Vec<u8>,
}

/// The server; it ends with its handle.
pub(super) struct RulesServer {
    pub(super) port: u16,
    served: watch::Sender<Arc<Served>>,
    revision: u64,
    task: JoinHandle<()>,
}

impl Drop for RulesServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RulesServer {
    pub(super) async fn start(rules: &Rules) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (served, watch) = watch::channel(Arc::new(Served::new(1, rules)?));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let watch = watch.clone();
                // A connection that ends is Envoy's to make anew.
                tokio::spawn(async move { drop(serve(stream, watch).await) });
            }
        });
        let revision = 1;
        Ok(Self {
            port,
            served,
            revision,
            task,
        })
    }

    /// Serves other rules from now on.
    pub(super) fn publish(&mut self, rules: &Rules) -> Result<()> {
        self.revision += 1;
        self.served.send_replace(Arc::new(Served::new(self.revision, rules)?));
        Ok(())
    }
}

impl Served {
    fn new(revision: u64, Rules { rules, data_files }: &Rules) -> Result<Self> {
        let (uuid, seconds) = (format!("revision-{revision}"), revision % 60);
        let (minutes, hours) = (revision / 60 % 60, revision / 3_600);
        let timestamp = format!("1970-01-01T{hours:02}:{minutes:02}:{seconds:02}Z");
        let body = json!({ "uuid": uuid, "timestamp": timestamp, "rules": rules, "dataFiles": data_files });
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(body.to_string().as_bytes())?;
        Ok(Self {
            tag: format!("W/\"{}-{uuid}\"", revision * 1_000_000_000),
            latest: answer(
                "200 OK",
                "preference-applied: wait\r\n",
                json!({ "uuid": uuid, "timestamp": timestamp }).to_string().as_bytes(),
            ),
            rules: answer("200 OK", "content-encoding: gzip\r\n", &gzip.finish()?),
        })
    }
}

fn answer(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{fields}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn serve(mut stream: TcpStream, mut watch: watch::Receiver<Arc<Served>>) -> Result<()> {
    let mut bytes = Vec::new();
    loop {
        while !bytes.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8(std::mem::take(&mut bytes))?;
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
        };
        let served = Arc::clone(&watch.borrow_and_update());
        let path = head.split(' ').nth(1).context("a request without a path")?;
        if !path.ends_with("/latest") {
            stream.write_all(&served.rules).await?;
        } else if field("if-none-match") != Some(&served.tag) {
            stream.write_all(&served.latest).await?;
        } else {
            let wait = field("prefer").and_then(|wait| wait.strip_prefix("wait=")?.parse().ok());
            let changed = tokio::time::timeout(Duration::from_secs(wait.unwrap_or_default()), watch.changed());
            if let Ok(Ok(())) = changed.await {
                let news = Arc::clone(&watch.borrow_and_update());
                stream.write_all(&news.latest).await?;
            } else {
                let unchanged = answer("304 Not Modified", "preference-applied: wait\r\n", b"");
                stream.write_all(&unchanged).await?;
            }
        }
    }
}
