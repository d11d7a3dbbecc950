//! A cache that the test plays itself: one distribution stream, read and answered as the test wants.

use std::net::SocketAddr;
use std::time::Duration;

use coraza_proto::v1alpha1::distribution_client::DistributionClient;
use coraza_proto::v1alpha1::subscribe_request::Request;
use coraza_proto::v1alpha1::subscribe_response::Response;
use coraza_proto::v1alpha1::{Ack, Hello, Nack, SubscribeRequest, SubscribeResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Status, Streaming};

use crate::certificates::{self, Identity};

/// As much as the controller's default allows for one RuleSet, and a little more.
const MAX_MESSAGE: usize = 16 << 20;

/// How long a message that is due may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One stream, opened by us.
#[derive(Debug)]
pub struct Subscriber {
    requests: mpsc::UnboundedSender<SubscribeRequest>,
    responses: Streaming<SubscribeResponse>,
}

/// A Hello of a cache that holds nothing.
#[must_use]
pub fn hello(replica: &str) -> Hello {
    Hello {
        replica: replica.to_owned(),
        process_id: uuid::Uuid::new_v4().to_string(),
        holdings: Vec::new(),
        max_ruleset_bytes: 8 << 20,
        plugin_digest: bytes::Bytes::new(),
        grants: Vec::new(),
    }
}

/// A connection to a controller with a certificate, or without one.
///
/// # Errors
/// If there is none, or the controller refuses the certificate during the handshake.
pub async fn connect(
    controller: SocketAddr,
    authority: &str,
    identity: Option<&Identity>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .domain_name(certificates::CONTROLLER)
        .ca_certificate(Certificate::from_pem(authority));
    if let Some(identity) = identity {
        tls = tls.identity(tonic::transport::Identity::from_pem(
            &identity.certificate,
            &identity.key,
        ));
    }
    Endpoint::from_shared(format!("https://{controller}"))?
        .tls_config(tls)?
        .connect_timeout(PATIENCE)
        .connect()
        .await
}

impl Subscriber {
    /// Connects and sends a first message.
    ///
    /// # Errors
    /// The controller's refusal, or that of its TLS as status `Unknown`.
    pub async fn open(controller: SocketAddr, identity: &Identity, first: Request) -> Result<Self, Status> {
        let channel = connect(controller, &identity.authority, Some(identity)).await;
        Self::open_on(channel.map_err(|error| Status::unknown(format!("{error:?}")))?, first).await
    }

    /// Sends a first message on a connection.
    ///
    /// # Errors
    /// The controller's refusal.
    pub async fn open_on(channel: Channel, first: Request) -> Result<Self, Status> {
        let (requests, sent) = mpsc::unbounded_channel();
        let mut client = DistributionClient::new(channel)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let _ = requests.send(SubscribeRequest { request: Some(first) });
        let responses = client.subscribe(UnboundedReceiverStream::new(sent)).await?.into_inner();
        Ok(Self { requests, responses })
    }

    /// The next message; none when the controller has closed the stream.
    ///
    /// # Errors
    /// The status with which the controller ended it.
    ///
    /// # Panics
    /// If none comes.
    pub async fn next(&mut self) -> Result<Option<(u64, Response)>, Status> {
        let message = tokio::time::timeout(PATIENCE, self.responses.message()).await;
        let message = message.unwrap_or_else(|_| panic!("no message within {PATIENCE:?}"))?;
        Ok(message.and_then(|message| Some((message.nonce, message.response?))))
    }

    /// Says that everything up to this message is served.
    pub fn ack(&self, nonce: u64) {
        self.send(Request::Ack(Ack { nonce }));
    }

    /// Refuses a message.
    pub fn nack(&self, nonce: u64, error_detail: &str) {
        self.send(Request::Nack(Nack {
            nonce,
            error_detail: error_detail.to_owned(),
        }));
    }

    /// Sends any message.
    pub fn send(&self, request: Request) {
        // A stream that the controller has closed takes none; the next read says why.
        let _ = self.requests.send(SubscribeRequest { request: Some(request) });
    }
}
