//! The client over TLS, against rustls with certificates that are made here.

use std::sync::Arc;

use parlor::client::{Builder, ConnectError, Event, Socket, session};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    client_support::{PATIENCE, quick, until},
    support::TestServer,
};

/// Somebody who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "A test");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn certificate(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![certificate.der().clone()], key)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A server's side of TLS. `clients` signs those that may come, where not all may.
fn accepts(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<&Authority>,
) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let roots = Arc::new(clients.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let (chain, key) = authority.certificate("localhost");
    builder.with_single_cert(chain, key).unwrap()
}

/// A client's side of TLS that trusts `authority`, and has a certificate of `own`.
fn trusts(authority: &Authority, own: Option<&Authority>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority.roots());
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let (chain, key) = own.certificate("a client");
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    })
}

/// TLS in front of a server. Gives the URL up to the path.
async fn secured(server: &TestServer, config: ServerConfig) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let upstream = server.address;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us is gone.
                if let Ok(mut secure) = acceptor.accept(socket).await {
                    let mut plain = TcpStream::connect(upstream).await.unwrap();
                    let _ = copy_bidirectional(&mut secure, &mut plain).await;
                }
            });
        }
    });
    format!("wss://localhost:{port}")
}

/// A long message comes back.
async fn echoes(socket: &mut Socket) {
    let long = "x".repeat(100_000);
    socket.send(long.as_str()).await.unwrap();
    let event = timeout(PATIENCE, socket.next()).await.unwrap();
    let Some(Ok(Event::Message(message))) = event else {
        unreachable!("{event:?}")
    };
    assert_eq!(message.as_text(), Some(long.as_str()));
}

#[tokio::test]
async fn messages_go_and_come_over_either_version() {
    let server = TestServer::start(|_| {});
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let url = secured(&server, accepts(&authority, &[version], None)).await;
        let builder = Builder::new(format!("{url}/echo")).tls_config(trusts(&authority, None));
        echoes(&mut builder.connect().await.unwrap()).await;
    }
}

#[tokio::test]
async fn sessions_and_event_streams_are_secure_too() {
    let server = TestServer::start(|_| {});
    let authority = Authority::new();
    let url = secured(&server, accepts(&authority, &[&TLS13], None)).await;
    let tls = trusts(&authority, None);
    let stream = format!("{}/sse/tea", url.replace("wss:", "https:"));
    let stream = Builder::new(stream).tls_config(Arc::clone(&tls));
    let mut stream = stream.event_stream().backoff(quick()).start().unwrap();
    let joined =
        async { while !matches!(stream.next().await, Some(session::Event::Joined { .. })) {} };
    timeout(PATIENCE, joined).await.unwrap();
    let session = Builder::new(format!("{url}/signal")).tls_config(tls);
    let mut session = session.session().backoff(quick()).start().unwrap();
    let tea = session.join("tea").unwrap();
    until(&mut session, |event| {
        matches!(event, session::Event::Joined { .. }).then_some(())
    })
    .await;
    tea.publish("hello").await.unwrap().await.unwrap();
    let heard = async { while !matches!(stream.next().await, Some(session::Event::Message(_))) {} };
    timeout(PATIENCE, heard).await.unwrap();
}

#[tokio::test]
async fn who_is_not_trusted_is_not_connected_to_and_not_tried_again() {
    let server = TestServer::start(|_| {});
    let (authority, other) = (Authority::new(), Authority::new());
    let url = secured(&server, accepts(&authority, &[&TLS12, &TLS13], None)).await;
    let there = format!("{url}/echo");
    let elsewhere = there.replace("localhost", "127.0.0.1");
    let unknown = Builder::new(&there).tls_config(trusts(&other, None));
    let system = Builder::new(&there);
    let misnamed = Builder::new(&elsewhere).tls_config(trusts(&authority, None));
    for (what, builder) in [
        ("an unknown authority", &unknown),
        ("none of the system's", &system),
        ("another name", &misnamed),
    ] {
        let error = timeout(PATIENCE, builder.connect()).await.unwrap();
        let error = error.unwrap_err();
        // A system may have no roots at all, which tells nothing of the server.
        let none = matches!(&error, ConnectError::Io(error)
            if error.kind() == std::io::ErrorKind::NotFound);
        assert!(error.is_permanent() || none, "{what}: {error:?}");
    }
    let named = misnamed.server_name("localhost");
    echoes(&mut named.connect().await.unwrap()).await;
    let error = Builder::new(&elsewhere)
        .tls_config(trusts(&authority, None))
        .server_name("not a name")
        .connect()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::Unsupported { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn clients_show_certificates_where_they_are_asked_to() {
    let server = TestServer::start(|_| {});
    let (authority, clients) = (Authority::new(), Authority::new());
    for version in [&TLS12, &TLS13] {
        let config = accepts(&authority, &[version], Some(&clients));
        let url = format!("{}/echo", secured(&server, config).await);
        let known = trusts(&authority, Some(&clients));
        let builder = Builder::new(&url).tls_config(known);
        echoes(&mut builder.connect().await.unwrap()).await;
        for own in [None, Some(&authority)] {
            let builder = Builder::new(&url).tls_config(trusts(&authority, own));
            let connected = timeout(PATIENCE, builder.connect()).await.unwrap();
            assert!(connected.is_err());
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_none_to_talk_to_in_secret() {
    let server = TestServer::start(|_| {});
    let url = format!("wss://localhost:{}/echo", server.address.port());
    let builder = Builder::new(url).tls_config(trusts(&Authority::new(), None));
    let error = timeout(PATIENCE, builder.connect()).await.unwrap();
    assert!(error.unwrap_err().is_permanent());
}
