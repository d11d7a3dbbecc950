//! A collector of access logs: the OpenTelemetry protocol's service of logs, over gRPC. It keeps what it is sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};

use crate::environment;

/// An entry of an access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its line.
    pub text: String,
    /// What else it says, by name.
    pub attributes: BTreeMap<String, String>,
}

/// A running collector. It ends with its handle.
#[derive(Debug)]
pub struct Collector {
    /// Where Pods reach it.
    pub address: SocketAddr,
    entries: Entries,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct Entries(Arc<Mutex<Vec<Entry>>>);

impl Collector {
    /// Starts one on the node of a mesh.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start_on_node() -> Self {
        let node = environment().cluster.istio().node;
        let listener = TcpListener::bind((node, 0)).await.expect("the node can be listened on");
        let address = listener.local_addr().expect("a listener has an address");
        let entries = Entries::default();
        let service = LogsServiceServer::new(entries.clone());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    let connection = http2::Builder::new(TokioExecutor::new());
                    // A proxy that goes away is no error.
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            address,
            entries,
            server,
        }
    }

    /// What it was sent so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tonic::async_trait]
impl LogsService for Entries {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let resources = request.into_inner().resource_logs.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_logs);
        let records = scopes.flat_map(|scope| scope.log_records);
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.extend(records.map(entry));
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

fn entry(record: LogRecord) -> Entry {
    let attributes = record.attributes.into_iter();
    Entry {
        text: text(record.body),
        attributes: attributes
            .map(|attribute| (attribute.key, text(attribute.value)))
            .collect(),
    }
}

/// Text as it is, anything else as a failure may show it.
fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}
