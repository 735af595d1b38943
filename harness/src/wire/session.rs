//! The alerts in a connection: TLS records of both ends, opened as far as their secrets are known.

use tls_parser::{
    TlsExtension, TlsMessage, TlsMessageHandshake, TlsRawRecord, TlsServerHelloContents,
    parse_tls_message_handshake, parse_tls_raw_record, parse_tls_server_hello_extensions,
};

use super::flow::Flow;
use super::key_log::Secrets;
use super::protection::{Opener, Suite};
use crate::outcome::Side;
use crate::probe::wire::{WireAlert, WireConnection};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// The random of a ServerHello that asks for another ClientHello (RFC 8446, section 4.1.3).
const HELLO_RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x67, 0xab, 0xb8, 0xc5, 0x9e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// A connection as far as it could be read.
pub(super) struct Told {
    pub(super) connection: WireConnection,
    /// Whether secrets that would open more of it are not in the key logs yet.
    pub(super) awaits_secrets: bool,
}

/// What was in a connection.
pub(super) fn of(flow: &Flow, secrets: &Secrets) -> Told {
    let (sent, received) = (flow.to_server.bytes(), flow.to_client.bytes());
    let mut connection = WireConnection {
        client: flow.client,
        server: flow.server,
        established: flow.is_established || !flow.to_server.has_begun(),
        sent: sent.len(),
        received: received.len(),
        closed_first: flow.closed_first,
        reset_by: flow.reset_by,
        tls: None,
        alerts: Vec::new(),
        unread: None,
    };
    if !flow.to_server.has_begun() {
        connection.unread = Some("it began before this call".to_owned());
        return Told {
            connection,
            awaits_secrets: false,
        };
    }
    let session = Session::between(&records(&sent), &records(&received), secrets);
    connection.tls = session.version.map(str::to_owned);
    connection.alerts = session.alerts;
    connection.unread = session.unread;
    Told {
        connection,
        awaits_secrets: session.awaits_secrets,
    }
}

#[derive(Default)]
struct Session {
    version: Option<&'static str>,
    alerts: Vec<WireAlert>,
    unread: Option<String>,
    awaits_secrets: bool,
}

/// How the records of one end are to be opened: with each in its turn, from when the one before no longer fits.
#[derive(Default)]
struct Protection {
    openers: Vec<Opener>,
    /// TLS 1.2: everything is protected once the end has sent a ChangeCipherSpec. In TLS 1.3 what is protected says that it
    /// is data.
    since_change: bool,
}

impl Session {
    fn between(client: &[TlsRawRecord<'_>], server: &[TlsRawRecord<'_>], secrets: &Secrets) -> Self {
        let mut session = Self::default();
        let random = client.iter().find_map(client_random);
        let Some((random, hello)) = random.zip(server.iter().find_map(server_hello)) else {
            // No secret was ever agreed on.
            session.walk(Side::Client, client, Protection::default());
            session.walk(Side::Server, server, Protection::default());
            return session;
        };
        let since_change = hello.version != "TLSv1.3";
        session.version = Some(hello.version);
        let Some(suite) = Suite::of(hello.suite) else {
            session.unread = Some(format!("its cipher suite {:#06x} is none with AEAD", hello.suite));
            return session;
        };
        let openers = match since_change {
            true => openers_of_tls_1_2(suite, random, &hello.random, secrets),
            false => openers_of_tls_1_3(suite, random, secrets),
        };
        let [of_client, of_server] = openers.map(|openers| Protection {
            openers,
            since_change,
        });
        session.walk(Side::Client, client, of_client);
        session.walk(Side::Server, server, of_server);
        session
    }

    fn walk(&mut self, side: Side, records: &[TlsRawRecord<'_>], protection: Protection) {
        let Protection {
            mut openers,
            since_change,
        } = protection;
        let known = openers.len();
        let (mut has_changed, mut after_data) = (false, false);
        for record in records {
            let kind = record.hdr.record_type.0;
            let is_protected = match kind {
                CHANGE_CIPHER_SPEC => {
                    has_changed = true;
                    continue;
                }
                DATA => true,
                _ => since_change && has_changed,
            };
            let opened = match is_protected {
                false => Some((kind, record.data.to_vec())),
                true => open(&mut openers, record),
            };
            match opened {
                Some((ALERT, alert)) => {
                    if let [level, code] = alert.as_slice() {
                        let alert = WireAlert::new(side, *level, *code, is_protected, after_data);
                        self.alerts.push(alert);
                    }
                }
                Some((kind, _)) => after_data |= kind == DATA,
                None => {
                    self.awaits_secrets |= openers.len() == known;
                    self.unread = Some(match known {
                        0 => "its secrets are in no key log".to_owned(),
                        _ => format!("a record of the {side} is under no secret that a key log has"),
                    });
                    return;
                }
            }
        }
    }
}

/// Opens a record as those before it, or as the first under the next secret.
fn open(openers: &mut Vec<Opener>, record: &TlsRawRecord<'_>) -> Option<(u8, Vec<u8>)> {
    if let Some(opened) = openers.first_mut()?.open(record) {
        return Some(opened);
    }
    let opened = openers.get_mut(1)?.open(record)?;
    openers.remove(0);
    Some(opened)
}

/// Of the client and of the server: first as they agree, then as they speak.
fn openers_of_tls_1_3(suite: Suite, random: &[u8], secrets: &Secrets) -> [Vec<Opener>; 2] {
    ["CLIENT", "SERVER"].map(|end| {
        let labels = [
            format!("{end}_HANDSHAKE_TRAFFIC_SECRET"),
            format!("{end}_TRAFFIC_SECRET_0"),
        ];
        let known = labels.iter().filter_map(|label| secrets.get(label, random));
        known.filter_map(|secret| suite.under_secret(secret)).collect()
    })
}

fn openers_of_tls_1_2(
    suite: Suite,
    random: &[u8],
    server_random: &[u8],
    secrets: &Secrets,
) -> [Vec<Opener>; 2] {
    let master = secrets.get("CLIENT_RANDOM", random);
    let openers = master.and_then(|master| suite.under_master(master, random, server_random));
    openers.map_or_else(Default::default, |openers| openers.map(|it| vec![it]))
}

/// The records of a stream, up to one that is not all there. A stream that is not TLS has none.
fn records(stream: &[u8]) -> Vec<TlsRawRecord<'_>> {
    let mut records = Vec::new();
    let mut rest = stream;
    while matches!(rest, [CHANGE_CIPHER_SPEC..=DATA, 3, ..]) {
        let Ok((behind, record)) = parse_tls_raw_record(rest) else {
            break;
        };
        records.push(record);
        rest = behind;
    }
    records
}

fn handshake<'a>(record: &TlsRawRecord<'a>) -> Option<TlsMessageHandshake<'a>> {
    if record.hdr.record_type.0 != HANDSHAKE {
        return None;
    }
    match parse_tls_message_handshake(record.data) {
        Ok((_, TlsMessage::Handshake(message))) => Some(message),
        _ => None,
    }
}

fn client_random<'a>(record: &TlsRawRecord<'a>) -> Option<&'a [u8]> {
    match handshake(record)? {
        TlsMessageHandshake::ClientHello(hello) => Some(hello.random),
        _ => None,
    }
}

struct Agreed {
    version: &'static str,
    suite: u16,
    random: Vec<u8>,
}

fn server_hello(record: &TlsRawRecord<'_>) -> Option<Agreed> {
    match handshake(record)? {
        TlsMessageHandshake::ServerHello(hello) if hello.random != HELLO_RETRY => Some(Agreed {
            version: version(&hello),
            suite: hello.cipher.0,
            random: hello.random.to_vec(),
        }),
        _ => None,
    }
}

/// As Envoy spells it. TLS 1.3 is told of in an extension.
fn version(hello: &TlsServerHelloContents<'_>) -> &'static str {
    let extensions = hello.ext.map(parse_tls_server_hello_extensions);
    let extensions = extensions.and_then(Result::ok).map(|(_, it)| it);
    let selected = extensions.into_iter().flatten().find_map(|it| match it {
        TlsExtension::SupportedVersions(versions) => versions.first().copied(),
        _ => None,
    });
    match selected.unwrap_or(hello.version).0 {
        0x0304 => "TLSv1.3",
        0x0303 => "TLSv1.2",
        0x0302 => "TLSv1.1",
        _ => "TLSv1",
    }
}

#[cfg(test)]
mod tests;
