//! The server over TLS: good callers, silent ones, and those who speak plain HTTP.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::*;

/// A server with a certificate of its own, and a client that trusts it.
fn start(settings: Settings) -> (Fixture, TlsConnector, tempfile::TempDir) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["cache".to_owned()]).expect("certificate");
    let files = tempfile::tempdir().expect("folder");
    std::fs::write(files.path().join("tls.crt"), cert.pem()).expect("written");
    std::fs::write(files.path().join("tls.key"), signing_key.serialize_pem()).expect("written");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = ServerTls::one_way(
        files.path(),
        coraza_runtime::readiness::Readiness::default().latch("certificates"),
    );
    let server = Fixture::start_on(settings, Duration::from_secs(3_600), Some(tls));
    (server, TlsConnector::from(Arc::new(client)), files)
}

#[tokio::test]
async fn rules_are_served_over_tls() {
    let (server, connector, _files) = start(settings());
    let name = ServerName::try_from("cache").expect("name");
    let mut stream = connector
        .connect(name, server.connect().await)
        .await
        .expect("shaken hands");
    let request = request("/latest", "Connection: close\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("answered, and closed as TLS wants it");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(&server.etag()),
        "{answer}"
    );
}

#[tokio::test]
async fn who_does_not_shake_hands_is_let_go() {
    let timeouts = Timeouts {
        head: Duration::from_millis(50),
        ..Timeouts::default()
    };
    let (server, connector, _files) = start(Settings { timeouts, ..settings() });
    assert_eq!(server.exchange(b"").await, "");
    // Plain HTTP gets an alert, and no rules.
    let answer = server.poll("").await;
    assert!(!answer.contains("HTTP") && !answer.contains("uuid"), "{answer}");
    let stranger = ServerName::try_from("other").expect("name");
    let refused = connector.connect(stranger, server.connect().await).await;
    assert!(refused.is_err());
    until(|| server.gauges.connections.open() == 0).await;
}
