//! Mutual TLS with a private CA, through a terminator before the real broker: who gets in and what the others are told.

use std::sync::Arc;

use attest_mqtt::{Broker, Event, Tls, Uplink, Why};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::support::{Bench, all_stored, in_thread, queue, until};

/// A CA and what it signs.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a test's CA");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key, PEM.
    fn sign(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.push(purpose);
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("signed").pem(), key.serialize_pem())
    }
}

/// Ends TLS on a port of its own and passes the bytes on to `to`.
async fn terminator(ca: &Ca, to: u16) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (certificate, key) = ca.sign("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).expect("pem")).expect("a root");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().expect("verifier");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("pem")],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("pem"),
        )
        .expect("an identity");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut inner = acceptor.accept(stream).await.ok()?;
                let mut outer = TcpStream::connect(("127.0.0.1", to)).await.ok()?;
                tokio::io::copy_bidirectional(&mut inner, &mut outer).await.ok()
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_lets_in_and_nothing_else_does() {
    let (ca, plain) = (Ca::new(), in_thread(&[]));
    let port = terminator(&ca, plain).await;
    let mut bench = Bench::new();
    let _stored = bench.members(&[plain]);

    let (certificate, key) = ca.sign("device", ExtendedKeyUsagePurpose::ClientAuth);
    let identity = Some((certificate.as_bytes(), key.as_bytes()));
    let tls = Tls::from_pem(ca.pem.as_bytes(), identity).expect("an identity");
    let options = bench.options(vec![Broker::secure("localhost", port, tls.clone())]);
    let (uplink, mut events) = Uplink::start(options, queue(4_096)).expect("settings");
    let id = bench.read(&uplink);
    all_stored(&mut events, &[id]).await;
    assert_eq!(uplink.close(super::support::LONG).await.waiting, 0);

    let other = Ca::new();
    let (stranger, strange_key) = other.sign("device", ExtendedKeyUsagePurpose::ClientAuth);
    let strange = Some((stranger.as_bytes(), strange_key.as_bytes()));
    let cases = [
        (
            Broker::secure("localhost", port, Tls::from_pem(ca.pem.as_bytes(), None).expect("tls")),
            "wants a client certificate",
        ),
        (
            Broker::secure("localhost", port, Tls::from_pem(ca.pem.as_bytes(), strange).expect("tls")),
            "does not accept this one",
        ),
        (
            Broker::secure("localhost", port, Tls::from_pem(other.pem.as_bytes(), identity).expect("tls")),
            "is this its CA",
        ),
        // A certificate for localhost is none for another name.
        (Broker::secure("127.0.0.1", port, tls), "for the host name used here"),
    ];
    for (broker, expected) in cases {
        let why = trouble(&bench, broker).await;
        assert!(matches!(why, Why::Tls(_)) && why.to_string().contains(expected), "{expected:?} not in {why}");
    }
    let why = trouble(&bench, Broker::plain("localhost", port)).await;
    assert!(why.to_string().contains("wants TLS"), "{why}");
}

/// The first trouble with a broker; being let in is a failure.
async fn trouble(bench: &Bench, broker: Broker) -> Why {
    let (uplink, mut events) = Uplink::start(bench.options(vec![broker]), queue(4_096)).expect("settings");
    let why = until(&mut events, |event| match event {
        Event::Trouble { why, .. } => Some(why.clone()),
        Event::Connected { .. } => panic!("let in"),
        _ => None,
    });
    let why = why.await;
    drop(uplink);
    why
}
