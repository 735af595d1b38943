//! Against sessions of rustls, which logs its secrets in the same format.

use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Connection, KeyLog, RootCertStore, ServerConfig, ServerConnection,
    SupportedCipherSuite, SupportedProtocolVersion,
};

use super::*;

/// What rustls logs, as lines.
#[derive(Debug, Default)]
struct Logged(Mutex<String>);

impl KeyLog for Logged {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        self.0.lock().unwrap().push_str(&line);
    }
}

/// Whom an end trusts.
#[derive(Clone, Copy, PartialEq)]
enum Trusts {
    TheOther,
    Somebody,
}

/// Both directions of a session, and the secrets of it.
struct Recorded {
    client: Vec<u8>,
    server: Vec<u8>,
    secrets: Secrets,
}

/// Each has a name of its own, so that a stranger is not taken for one who signed badly.
fn certificate(subject: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["server.test".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    (certificate.der().clone(), key)
}

fn roots(certificate: &CertificateDer<'static>) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    Arc::new(roots)
}

fn record(
    version: &'static SupportedProtocolVersion,
    suite: SupportedCipherSuite,
    [client_trusts, server_trusts]: [Trusts; 2],
) -> Recorded {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![suite],
        ..ring::default_provider()
    });
    let ((ours, our_key), (theirs, their_key)) = (certificate("client"), certificate("server"));
    let (other, _) = certificate("somebody");
    let logged = Arc::new(Logged::default());
    let trusted = |trusts, certificate| match trusts {
        Trusts::TheOther => roots(certificate),
        Trusts::Somebody => roots(&other),
    };
    let verifier =
        WebPkiClientVerifier::builder_with_provider(trusted(server_trusts, &ours), Arc::clone(&provider));
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![theirs.clone()], their_key)
        .unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(trusted(client_trusts, &theirs))
        .with_client_auth_cert(vec![ours.clone()], our_key)
        .unwrap();
    client.key_log = Arc::<Logged>::clone(&logged);
    let name = "server.test".try_into().unwrap();
    let mut client = Connection::from(ClientConnection::new(Arc::new(client), name).unwrap());
    let mut server = Connection::from(ServerConnection::new(Arc::new(server)).unwrap());
    let (mut of_client, mut of_server) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        pass(&mut client, &mut server, &mut of_client);
        pass(&mut server, &mut client, &mut of_server);
    }
    for end in [&mut client, &mut server] {
        // One that was refused has nothing more to say.
        if std::io::Write::write_all(&mut end.writer(), b"data").is_ok() {
            end.send_close_notify();
        }
    }
    pass(&mut client, &mut server, &mut of_client);
    pass(&mut server, &mut client, &mut of_server);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::write(&path, &*logged.0.lock().unwrap()).unwrap();
    Recorded {
        client: of_client,
        server: of_server,
        secrets: Secrets::read(&[path]).unwrap(),
    }
}

/// Hands over what one end has to say, and keeps a copy.
fn pass(from: &mut Connection, to: &mut Connection, copy: &mut Vec<u8>) {
    let mut said = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut said).unwrap();
    }
    copy.extend_from_slice(&said);
    let mut rest = said.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        if to.process_new_packets().is_err() {
            return;
        }
    }
}

fn read(recorded: &Recorded) -> Session {
    Session::between(
        &records(&recorded.client),
        &records(&recorded.server),
        &recorded.secrets,
    )
}

const SUITES: [(&SupportedProtocolVersion, SupportedCipherSuite); 6] = [
    (&TLS13, ring::cipher_suite::TLS13_AES_128_GCM_SHA256),
    (&TLS13, ring::cipher_suite::TLS13_AES_256_GCM_SHA384),
    (&TLS13, ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
    (
        &TLS12,
        ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        &TLS12,
        ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        &TLS12,
        ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

#[test]
fn goodbyes_are_read_behind_data_whatever_the_cipher() {
    for (version, suite) in SUITES {
        let session = read(&record(version, suite, [Trusts::TheOther; 2]));
        let name = suite.suite();
        assert_eq!(session.unread, None, "{name:?}");
        let goodbye = |by| WireAlert::new(by, 1, 0, true, true);
        assert_eq!(
            session.alerts,
            [goodbye(Side::Client), goodbye(Side::Server)],
            "{name:?}"
        );
    }
}

#[test]
fn a_refusal_is_read_and_so_is_who_refused() {
    const UNKNOWN_CA: u8 = 48;
    for (version, suite) in SUITES {
        for (trusts, by) in [
            ([Trusts::Somebody, Trusts::TheOther], Side::Client),
            ([Trusts::TheOther, Trusts::Somebody], Side::Server),
        ] {
            let session = read(&record(version, suite, trusts));
            let refusals: Vec<&WireAlert> = session
                .alerts
                .iter()
                .filter(|it| it.attribution().is_some())
                .collect();
            let [refusal] = refusals.as_slice() else {
                panic!("{:?}: {:?}, {:?}", suite.suite(), session.alerts, session.unread)
            };
            assert_eq!(
                (refusal.by, refusal.code),
                (by, UNKNOWN_CA),
                "{:?}",
                suite.suite()
            );
            // In TLS 1.2 nothing is encrypted before both have agreed.
            assert_eq!(refusal.encrypted, suite.tls13().is_some());
        }
    }
}

#[test]
fn without_its_secrets_a_session_is_not_read_and_says_so() {
    let mut recorded = record(
        &TLS13,
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        [Trusts::TheOther; 2],
    );
    recorded.secrets = Secrets::default();
    let session = read(&recorded);
    assert_eq!(session.version, Some("TLSv1.3"));
    assert_eq!(session.unread.as_deref(), Some("its secrets are in no key log"));
    assert!(session.awaits_secrets && session.alerts.is_empty());
}

#[test]
fn what_is_no_tls_has_no_records() {
    assert!(records(b"GET / HTTP/1.1\r\n\r\n").is_empty());
    assert!(records(&[22, 3, 1, 0, 200, 1]).is_empty(), "the rest never came");
    let refused = [21, 3, 3, 0, 2, 2, 70];
    let session = Session::between(&[], &records(&refused), &Secrets::default());
    assert_eq!(
        session.alerts,
        [WireAlert::new(Side::Server, 2, 70, false, false)]
    );
}

#[test]
fn a_connection_that_began_before_is_not_one_that_was_never_answered() {
    let mut flows = crate::wire::flow::Flows::to(([10, 0, 0, 2], 8080).into());
    let mut packet = Vec::new();
    let tcp = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(40_000, 8080, 7, 1000);
    tcp.ack(1).write(&mut packet, b"more").unwrap();
    flows.take(&packet);
    let told: Vec<Told> = flows.iter().map(|flow| of(flow, &Secrets::default())).collect();
    let [told] = told.as_slice() else {
        panic!("{} connections", told.len())
    };
    assert_eq!(
        told.connection.unread.as_deref(),
        Some("it began before this call")
    );
    assert_eq!(told.connection.attribution(), None);
}
