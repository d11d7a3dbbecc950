//! Handshakes over memory, with certificates made for the test.

use super::*;

use std::fs;

use crate::readiness::Readiness;
use crate::tls::x509::Validity;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

/// A directory with a certificate for `name` by `issuer`, trusting `roots`.
fn directory(name: &str, issuer: &Authority, roots: &[&Authority]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), name, issuer, roots);
    directory
}

fn write(directory: &Path, name: &str, issuer: &Authority, roots: &[&Authority]) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    let roots: String = roots.iter().map(|root| root.pem()).collect();
    for (file, pem) in [
        ("tls.crt", certificate.pem()),
        ("tls.key", key.serialize_pem()),
        ("ca.crt", roots),
    ] {
        fs::write(directory.join(file), pem).expect("the file can be written");
    }
}

fn latch() -> Latch {
    Readiness::default().latch("certificates")
}

fn server_tls(files: &tempfile::TempDir) -> ServerTls {
    ServerTls::mutual(files.path(), latch())
}

fn client_tls(files: &tempfile::TempDir) -> ClientTls {
    ClientTls::mutual(files.path(), latch())
}

/// Shakes hands over memory. Returns the certificate that the server saw, once a byte went both ways.
async fn handshake(server: &ServerTls, client: &ClientTls) -> std::io::Result<CertificateDer<'static>> {
    let (server_end, client_end) = tokio::io::duplex(64 << 10);
    let accept = async {
        let mut stream = TlsAcceptor::from(server.current().expect("good files"))
            .accept(server_end)
            .await?;
        stream.write_all(b"!").await?;
        let certificates = stream.get_ref().1.peer_certificates().expect("required");
        Ok::<_, std::io::Error>(certificates[0].clone())
    };
    let connect = async {
        let name = ServerName::try_from("server").expect("a name");
        let mut stream = TlsConnector::from(client.current().expect("good files"))
            .connect(name, client_end)
            .await?;
        stream.read_u8().await
    };
    let (accepted, connected) = tokio::join!(accept, connect);
    connected.and(accepted)
}

#[tokio::test]
async fn peers_of_one_authority_meet_and_know_each_other_by_name() {
    let ca = authority();
    let (server, client) = (directory("server", &ca, &[&ca]), directory("client", &ca, &[&ca]));
    let server = server_tls(&server);
    let client = client_tls(&client);
    let peer = handshake(&server, &client).await.expect("a connection");
    assert!(is_for(&peer, "client"));
    for other in ["server", "clien", "client.", "", "*", "not a name"] {
        assert_eq!(is_for(&peer, other), other == "client.", "{other:?}");
    }
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let (ca, stranger) = (authority(), authority());
    let server = directory("server", &ca, &[&ca]);
    let server = server_tls(&server);
    for (name, issuer, root) in [
        ("client", &stranger, &ca),
        ("client", &ca, &stranger),
        ("client", &stranger, &stranger),
    ] {
        let client = directory(name, issuer, &[root]);
        let client = client_tls(&client);
        handshake(&server, &client).await.expect_err("no connection");
    }
    let impostor = directory("client", &ca, &[&ca]);
    let impostor = server_tls(&impostor);
    let client = directory("client", &ca, &[&ca]);
    let client = client_tls(&client);
    handshake(&impostor, &client)
        .await
        .expect_err("the server's name is wrong");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_turned_away() {
    let ca = authority();
    let server = directory("server", &ca, &[&ca]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let anonymous = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let files = PemFiles::read(&Files::in_directory(server.path())).expect("files");
    let client = ClientTls(Arc::new(Reloaded {
        files: Files::in_directory(Path::new("")),
        build: mutual_client,
        state: Mutex::new(State {
            current: Some(Current {
                config: Arc::new(anonymous),
                expiry: files.expiry().expect("certificates"),
            }),
            seen: Some(files),
        }),
    }));
    let server = server_tls(&server);
    handshake(&server, &client).await.expect_err("no connection");
}

#[tokio::test]
async fn an_authority_is_replaced_without_a_gap() {
    let (old, new) = (authority(), authority());
    let (server_files, client_files) = (directory("server", &old, &[&old]), directory("client", &old, &[&old]));
    let server = server_tls(&server_files);
    let client = client_tls(&client_files);
    let meet = async |step: &str| {
        server.0.reload().expect("good files");
        client.0.reload().expect("good files");
        handshake(&server, &client).await.expect(step);
    };
    meet("old").await;
    let both = [&old, &new];
    write(server_files.path(), "server", &old, &both);
    meet("the server trusts both").await;
    write(client_files.path(), "client", &old, &both);
    meet("both trust both").await;
    write(client_files.path(), "client", &new, &both);
    meet("the client has a new certificate").await;
    write(server_files.path(), "server", &new, &[&new]);
    meet("the server has one too, and forgets the old authority").await;
    write(client_files.path(), "client", &new, &[&new]);
    meet("new").await;
}

#[tokio::test]
async fn bad_files_change_nothing() {
    let ca = authority();
    let files = directory("server", &ca, &[&ca]);
    let server = server_tls(&files);
    let before = server.current().expect("good files");
    let same = || Arc::ptr_eq(&before, &server.current().expect("good files"));
    assert!(matches!(server.0.reload().expect("unchanged"), Reload::Same));
    let other_key = KeyPair::generate().expect("a key").serialize_pem();
    for (file, text) in [
        ("tls.key", &*other_key),
        ("tls.key", ""),
        ("tls.crt", "garbage"),
        ("ca.crt", ""),
    ] {
        let good = fs::read(files.path().join(file)).expect("the file");
        fs::write(files.path().join(file), text).expect("written");
        let error = server.0.reload().expect_err("bad files");
        assert!(matches!(error, TlsError::Invalid { .. }), "{error}");
        assert!(server_tls(&files).current().is_none());
        assert!(same());
        fs::write(files.path().join(file), good).expect("written");
    }
    fs::remove_file(files.path().join("tls.crt")).expect("removed");
    let error = server.0.reload().expect_err("no file").to_string();
    assert!(error.contains("tls.crt"), "{error}");
    assert!(same());
    write(files.path(), "server", &ca, &[&ca]);
    assert!(matches!(server.0.reload().expect("good files again"), Reload::Taken));
    assert!(!same());
}

#[tokio::test]
async fn files_are_read_again_while_somebody_uses_them() {
    let ca = authority();
    let files = directory("server", &ca, &[&ca]);
    let server = ServerTls::one_way(files.path(), latch());
    let before = server.current().expect("good files");
    write(files.path(), "server", &ca, &[]);
    while Arc::ptr_eq(&before, &server.current().expect("good files")) {
        tokio::time::sleep(RELOAD_INTERVAL).await;
    }
    let unused = Arc::downgrade(&server.0);
    drop(server);
    while unused.strong_count() > 0 {
        tokio::time::sleep(RELOAD_INTERVAL).await;
    }
}

#[tokio::test]
async fn files_may_come_later() {
    let files = tempfile::tempdir().expect("a directory");
    let ready = latch();
    let server = ServerTls::mutual(files.path(), ready.clone());
    assert!(server.current().is_none() && server.expiry().is_none() && !ready.is_set());
    let ca = authority();
    write(files.path(), "server", &ca, &[&ca]);
    while !ready.is_set() {
        tokio::time::sleep(FIRST_INTERVAL).await;
    }
    let client = directory("client", &ca, &[&ca]);
    handshake(&server, &client_tls(&client)).await.expect("a connection");
}

#[tokio::test]
async fn the_end_is_the_first_of_the_chain_and_the_last_of_the_authorities() {
    let seconds = |year| rcgen::date_time_ymd(year, 1, 1).unix_timestamp();
    let until = |year| {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(year - 50, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
    };
    let (old, new) = (until(2060), until(2070));
    let files = directory("server", &old, &[&old, &new]);
    // Of certificates without another end it is the year 4096.
    let issued = fs::read_to_string(files.path().join("tls.crt")).expect("the file");
    fs::write(files.path().join("tls.crt"), issued + &old.pem()).expect("written");
    let expiry = server_tls(&files).expiry().expect("good files");
    let validity = |year| Validity {
        not_before: seconds(year - 50),
        not_after: seconds(year),
    };
    assert_eq!(
        (expiry.certificate, expiry.authority),
        (validity(2060), Some(validity(2070)))
    );
}
