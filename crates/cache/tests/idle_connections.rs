//! Ten thousand connections that say nothing, against the real process: others are served meanwhile, memory stays small, and the
//! silent ones are let go.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests state what must hold by unwrapping it"
)]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

const IDLE: usize = 10_000;
/// Four addresses may have all connections between them, so six are well within the share of each.
const ADDRESSES: [&str; 6] = [
    "127.0.0.2:0",
    "127.0.0.3:0",
    "127.0.0.4:0",
    "127.0.0.5:0",
    "127.0.0.6:0",
    "127.0.0.7:0",
];
/// What a silent connection may cost the process: a debug build, whose allocator touches what it gives, takes 22. The limit on
/// connections counts 64 for each.
const KIBIBYTES_EACH: usize = 32;

/// Killed with the test, however it ends.
struct Cache {
    child: Child,
    address: SocketAddr,
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Cache {
    /// A cache that finds neither a controller nor an API server: it says so and serves what it has.
    fn start(folder: &Path) -> Self {
        certificates(folder);
        let kubeconfig = folder.join("kubeconfig");
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                    contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n";
        std::fs::write(&kubeconfig, text).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_coraza-cache"))
            .args([
                "--controller-address=127.0.0.1:1",
                "--cache-server-bind-address=127.0.0.1",
                "--cache-server-port=0",
            ])
            .args(["--health-probe-bind-address=0", "--max-connections=16384", "--tls-dir"])
            .arg(folder)
            .env("KUBECONFIG", &kubeconfig)
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"))
            .lines()
            .map_while(Result::ok);
        let address = lines.by_ref().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).expect("a log line is JSON");
            (line["message"] == "serving RuleSets").then(|| {
                line["address"]
                    .as_str()
                    .expect("an address")
                    .parse()
                    .expect("an address")
            })
        });
        // Whoever writes to a full pipe stops.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address: address.expect("it says where it serves"),
        }
    }

    fn resident_kibibytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("VmRSS");
        resident.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// A request without a token.
    async fn ask(&self) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        let request = b"GET /rules/team/crs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }
}

fn certificates(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("authority");
    let key = KeyPair::generate().expect("key");
    let params = CertificateParams::new(vec!["coraza-cache".to_owned()]).expect("name");
    let certificate = params.signed_by(&key, &authority).expect("signed");
    for (name, pem) in [
        ("ca.crt", authority.pem()),
        ("tls.crt", certificate.pem()),
        ("tls.key", key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), pem).expect("written");
    }
}

#[tokio::test]
async fn ten_thousand_silent_connections_harm_nobody() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let folder = tempfile::tempdir().expect("folder");
    let cache = Cache::start(folder.path());
    assert!(cache.ask().await.starts_with("HTTP/1.1 401"));
    let before = cache.resident_kibibytes();

    let mut silent = Vec::with_capacity(IDLE);
    for source in ADDRESSES.iter().cycle().take(IDLE) {
        let socket = TcpSocket::new_v4().expect("socket");
        socket.bind(source.parse().expect("address")).expect("bound");
        silent.push(socket.connect(cache.address).await.expect("connected"));
        // Answered all along, by each thread: the kernel chooses between them.
        if silent.len() % 1_000 == 0 {
            assert!(
                cache.ask().await.starts_with("HTTP/1.1 401"),
                "beside {} silent connections",
                silent.len()
            );
        }
    }
    let grown = cache.resident_kibibytes().saturating_sub(before);
    println!("{IDLE} silent connections: {grown} KiB");
    assert!(grown < IDLE * KIBIBYTES_EACH, "{grown} KiB");
    for mut stream in silent {
        let closed = tokio::time::timeout(Duration::from_secs(60), stream.read_u8()).await;
        assert!(closed.expect("closed in time").is_err());
    }
}
