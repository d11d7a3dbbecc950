//! Opens a subscription: TCP, TLS, HTTP/2 and Hello, each within a bounded time.

use std::net::SocketAddr;
use std::time::Duration;

use coraza_proto::v1alpha1::distribution_client::DistributionClient;
use coraza_proto::v1alpha1::{SubscribeRequest, SubscribeResponse};
use coraza_proto::{CONTROLLER_IDENTITY, Hello, Request, limits};
use coraza_runtime::tls::ClientTls;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Endpoint, Uri};
use tonic::{Status, Streaming};

/// How long TCP and TLS may take together: a controller that is stopped accepts connections and says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the controller may take to accept a Hello, 4 MiB at most.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent controller is asked whether it lives, and how long it may take to answer. Together less than the 10 s that the
/// controller waits for a renewed token to be acknowledged: a cache that is cut off knows that it is, and asks the API server instead,
/// before a data plane bears a token that it was not told of.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What the controller may send ahead, in bytes: a message of a Core Rule Set, compressed, several times over.
const WINDOW_BYTES: u32 = 1 << 20;
/// Replies that wait to be sent. More wait for room, and with them the next message.
const REPLIES: usize = 16;

/// Both directions of a subscription.
pub(super) struct Stream {
    pub(super) responses: Streaming<SubscribeResponse>,
    pub(super) requests: mpsc::Sender<SubscribeRequest>,
}

/// Why there is no subscription.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// There are no certificates yet.
    #[error("there are no certificates to connect with yet")]
    NoCertificates,
    /// No connection, or no TLS.
    #[error("failed to connect")]
    Connect(#[from] tonic::transport::Error),
    /// The controller said no.
    #[error("failed to subscribe")]
    Subscribe(#[source] Box<Status>),
    /// The controller said nothing.
    #[error("the controller doesn't answer")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

/// Subscribes at one address.
pub(super) async fn open(address: SocketAddr, tls: &ClientTls, hello: Hello) -> Result<Stream, ConnectError> {
    let tls = TlsConnector::from(tls.current().ok_or(ConnectError::NoCertificates)?);
    let connector = tower::service_fn(move |_: Uri| {
        let tls = tls.clone();
        async move { handshake(address, &tls).await.map(TokioIo::new) }
    });
    // The name is never looked up: the connector knows the address, and TLS checks the name itself.
    let endpoint = Endpoint::from_static("http://coraza-controller")
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(2 * WINDOW_BYTES);
    let channel = tokio::time::timeout(CONNECT_TIMEOUT, endpoint.connect_with_connector(connector)).await??;
    let mut client = DistributionClient::new(channel)
        .max_decoding_message_size(limits::max_response_bytes(hello.max_ruleset_bytes))
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Zstd);
    let (requests, outbound) = mpsc::channel(REPLIES);
    // There is room: nothing was sent yet.
    let _ = requests.try_send((&Request::Hello(hello)).into());
    let subscribed = client.subscribe(ReceiverStream::new(outbound));
    let response = tokio::time::timeout(SUBSCRIBE_TIMEOUT, subscribed).await?;
    let responses = response
        .map_err(|status| ConnectError::Subscribe(Box::new(status)))?
        .into_inner();
    Ok(Stream { responses, requests })
}

async fn handshake(address: SocketAddr, tls: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    // Acknowledgements are small, and somebody waits for them.
    let _ = socket.set_nodelay(true);
    let name = ServerName::try_from(CONTROLLER_IDENTITY).map_err(std::io::Error::other)?;
    tls.connect(name, socket).await
}
