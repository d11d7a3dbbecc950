//! Leases, pages, and what is in the way, by an API server that the tests play.

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::*;

#[test]
fn a_lease_names_the_pod_that_leads() {
    let lease = |holder: Option<&str>| -> Lease {
        let spec = holder.map(|holder| serde_json::json!({"holderIdentity": holder}));
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": LEASE, "namespace": "coraza-system"},
            "spec": spec,
        }))
        .unwrap()
    };
    let pod = |holder| Leader::of(&lease(holder)).map(|leader| leader.pod);
    assert_eq!(
        pod(Some("coraza-controller-7d9_x_0b6c")).as_deref(),
        Some("coraza-controller-7d9_x")
    );
    assert_eq!(pod(Some("")), None);
    assert_eq!(pod(Some("somebody")), None);
    assert_eq!(pod(None), None);
}

#[test]
fn the_page_is_read_as_the_controller_writes_it() {
    let page = r#"{"leading": true, "epoch": 7, "caches": [{
        "replica": "cache-0", "processId": "p", "complete": true, "grants": 2, "inFlight": 0, "awaited": [],
        "held": {"shop/crs": {"uuid": "0b6c", "timestamp": "2026-05-01T10:00:00Z"}}, "refused": {}}]}"#;
    let document: Document = serde_json::from_str(page).unwrap();
    assert_eq!(document.caches[0].held["shop/crs"].uuid, "0b6c");
}

const DOCUMENT: &str = r#"{"leading": true, "caches": []}"#;

/// What becomes of a port-forward to the leader's Pod.
#[derive(Clone, Copy)]
enum Forward {
    /// The API server doesn't open it.
    Forbidden,
    /// Nobody listens in the Pod.
    Refused,
    /// The page is answered with this.
    Answered(&'static str),
    /// The stream ends without a word.
    Cut,
}

/// Two Leases, of which one was renewed last.
fn leases() -> String {
    let lease = |namespace: &str, holder: &str, minute: u8| {
        serde_json::json!({
            "metadata": {"name": LEASE, "namespace": namespace},
            "spec": {"holderIdentity": holder, "renewTime": format!("2026-06-01T12:0{minute}:00.000000Z")},
        })
    };
    list(&[
        lease("moved-away", "gone_1", 1),
        lease("coraza-system", "leader-0_1", 2),
    ])
}

fn list(leases: &[serde_json::Value]) -> String {
    let list = serde_json::json!({"apiVersion": "coordination.k8s.io/v1", "kind": "LeaseList", "metadata": {}, "items": leases});
    list.to_string()
}

fn forbidden() -> String {
    let status = serde_json::json!({"kind": "Status", "status": "Failure", "message": "it is forbidden", "code": 403});
    status.to_string()
}

/// A client of an API server that gives Leases, and forwards the debug port of the leader's Pod.
async fn cluster(leases: (u16, String), forward: Forward) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, leases.clone(), forward));
        }
    });
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    Client::try_from(config).unwrap()
}

async fn answer(mut stream: TcpStream, leases: (u16, String), forward: Forward) {
    let mut head = [0; 4096];
    let length = stream.peek(&mut head).await.unwrap();
    let path = String::from_utf8_lossy(&head[..length]).into_owned();
    let path = path.split(' ').nth(1).unwrap_or_default();
    if path.contains("/leases") {
        return respond(&mut stream, leases.0, &leases.1).await;
    }
    assert_eq!(
        path,
        "/api/v1/namespaces/coraza-system/pods/leader-0/portforward?&ports=8082"
    );
    match forward {
        Forward::Forbidden => respond(&mut stream, 403, &forbidden()).await,
        _ => kubelet(stream, forward).await,
    }
}

async fn respond(stream: &mut TcpStream, status: u16, body: &str) {
    let mut head = [0; 4096];
    let _ = stream.read(&mut head).await.unwrap();
    let answer = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Speaks as a kubelet does: a channel for bytes and one for an error, each of which begins with the port.
async fn kubelet(stream: TcpStream, forward: Forward) {
    #[allow(clippy::result_large_err, reason = "the callback's type is not ours")]
    let protocol = |_: &Request, mut response: Response| {
        let name = "v4.channel.k8s.io".parse().unwrap();
        response.headers_mut().insert("sec-websocket-protocol", name);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, protocol).await.unwrap();
    let message = |channel: u8, bytes: &[u8]| Message::binary([&[channel], bytes].concat());
    for channel in [0, 1] {
        socket.send(message(channel, &DEBUG_PORT.to_le_bytes())).await.unwrap();
    }
    match forward {
        Forward::Answered(page) => {
            let request = socket.next().await.unwrap().unwrap().into_data();
            assert!(request.starts_with(b"\0GET /debug/caches HTTP/1.1\r\n"), "{request:?}");
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len());
            socket.send(message(0, answer.as_bytes())).await.unwrap();
        }
        Forward::Refused => {
            let why = "error forwarding port 8082 to pod: connection refused\n";
            socket.send(message(1, why.as_bytes())).await.unwrap();
        }
        Forward::Forbidden | Forward::Cut => {}
    }
    // Whoever has its answer hangs up, perhaps without a word.
    let _ = socket.close(None).await;
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test]
async fn the_page_is_the_leader_s_by_a_port_forward() {
    let client = cluster((200, leases()), Forward::Answered(DOCUMENT)).await;
    let CachesView::Known { controller, document } = view(&client, None).await else {
        panic!("it is known");
    };
    assert_eq!(
        (controller.as_str(), document.leading),
        ("coraza-system/leader-0", true)
    );
}

#[tokio::test]
async fn what_is_in_the_way_is_said() {
    let leases = || (200, leases());
    for (leases, forward, part) in [
        (
            leases(),
            Forward::Forbidden,
            "it takes the rights to get and create pods/portforward in namespace coraza-system",
        ),
        (
            leases(),
            Forward::Refused,
            "connection refused; it serves the page if it is started with --debug-bind-address=127.0.0.1:8082",
        ),
        (leases(), Forward::Cut, "failed to speak HTTP to it"),
        (leases(), Forward::Answered("[]"), "is no /debug/caches of this version"),
        ((403, forbidden()), Forward::Forbidden, "--operator-namespace"),
        ((200, list(&[])), Forward::Forbidden, "no controller leads"),
    ] {
        let CachesView::Unknown { why } = view(&cluster(leases, forward).await, None).await else {
            panic!("it isn't known");
        };
        assert!(why.contains(part), "{why}");
    }
}
