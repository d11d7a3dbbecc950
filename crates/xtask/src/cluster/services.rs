//! What kube-proxy and the cluster's DNS do for Pods: the address of a Service leads to its endpoints, and its name to its address.
//!
//! Services and EndpointSlices are watched by kubectl. Their addresses are all the node's own (`network::make_node`), so that they can be listened on.

mod dns;
mod table;

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use self::table::{Kind, Table};
use super::kubectl::Kubectl;
use super::network::NODE;

/// Where Pods ask for names.
const DNS_PORT: u16 = 53;

/// How long until a watch that ended is begun again: the API server ends each within an hour, or is away.
const RETRY: Duration = Duration::from_secs(1);

/// The longest question over UDP.
const MAX_QUESTION: usize = 1232;

/// What is written into a Pod's `/etc/resolv.conf`.
pub(super) fn resolver(namespace: &str) -> String {
    let domain = table::DOMAIN;
    format!("nameserver {NODE}\nsearch {namespace}.{domain} {domain} cluster.local\noptions ndots:5\n")
}

/// Both at work; they end with their handle.
pub(super) struct Services {
    _tasks: JoinSet<()>,
}

impl Services {
    pub(super) async fn start(kubectl: &Kubectl) -> Result<Self> {
        let table = Arc::new(Mutex::new(Table::default()));
        let socket = UdpSocket::bind((NODE, DNS_PORT))
            .await
            .context("failed to listen for questions of names")?;
        let (sender, events) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        for kind in [Kind::Service, Kind::EndpointSlice] {
            tasks.spawn(watch(kubectl.clone(), kind, sender.clone()));
        }
        tasks.spawn(forward(events, Arc::clone(&table)));
        tasks.spawn(answer(socket, table));
        Ok(Self { _tasks: tasks })
    }
}

fn locked(table: &Mutex<Table>) -> std::sync::MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells what becomes of all objects of a kind, for ever.
async fn watch(kubectl: Kubectl, kind: Kind, events: mpsc::Sender<(Kind, Value)>) {
    loop {
        if let Err(error) = watch_once(&kubectl, kind, &events).await {
            eprintln!("{kind:?}s: {error:#}");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// One watch, which begins with what is there.
async fn watch_once(kubectl: &Kubectl, kind: Kind, events: &mpsc::Sender<(Kind, Value)>) -> Result<()> {
    let raw = format!("--raw={}?watch=true", kind.path());
    let mut running = kubectl.program(&["get", &raw]).start_piped()?;
    let output = running.child.stdout.take().context("kubectl has no output")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        let event = serde_json::from_str(&line).context("a watch that isn't JSON")?;
        events.send((kind, event)).await?;
    }
    Ok(())
}

/// Listens on the addresses of the Services of the moment.
async fn forward(mut events: mpsc::Receiver<(Kind, Value)>, table: Arc<Mutex<Table>>) {
    let mut servers = JoinSet::new();
    let mut listening: BTreeMap<SocketAddrV4, AbortHandle> = BTreeMap::new();
    while let Some((kind, event)) = events.recv().await {
        let addresses = {
            let mut table = locked(&table);
            table.apply(kind, &event);
            table.addresses()
        };
        listening.retain(|address, server| {
            let wanted = addresses.contains(address);
            if !wanted {
                server.abort();
            }
            wanted
        });
        for address in addresses {
            listening
                .entry(address)
                .or_insert_with(|| servers.spawn(serve(address, Arc::clone(&table))));
        }
    }
}

/// Passes connections to a Service's address on to its endpoints in turn.
async fn serve(address: SocketAddrV4, table: Arc<Mutex<Table>>) {
    // The API server has its port at all addresses.
    let Ok(listener) = TcpListener::bind(address).await else {
        return;
    };
    let mut connections = JoinSet::new();
    for turn in 0.. {
        let Ok((near, _)) = listener.accept().await else { return };
        let endpoint = locked(&table).endpoint(address, turn);
        if let Some(endpoint) = endpoint {
            connections.spawn(connect(near, endpoint));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(mut near: TcpStream, endpoint: SocketAddrV4) {
    // An endpoint that is away, or a side that leaves, ends the connection, as the other side sees.
    if let Ok(mut far) = TcpStream::connect(endpoint).await {
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}

/// Answers questions of names.
async fn answer(socket: UdpSocket, table: Arc<Mutex<Table>>) {
    let mut question = [0; MAX_QUESTION];
    loop {
        // An answer to somebody who has gone comes back as an error of the next call.
        let Ok((length, from)) = socket.recv_from(&mut question).await else {
            continue;
        };
        let question = question.get(..length).unwrap_or_default();
        let answer = dns::answer(question, |name| locked(&table).address(name));
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}
