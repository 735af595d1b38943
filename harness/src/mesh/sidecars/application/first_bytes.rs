//! Recognising what a connection's first bytes are.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::seen::{nonce_of_line, nonce_of_path};
use crate::probe::evidence::Bytes;

/// Lines longer than this are no lines.
pub(super) const LONGEST_LINE: usize = 8 * 1024;

/// The first line of the connection preface of HTTP/2 (RFC 9113, section 3.4), which no application here speaks.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The first bytes of a connection and what they are.
#[derive(Debug)]
pub(super) struct FirstBytes {
    pub(super) saw: Bytes,
    /// All that was read to recognise them.
    pub(super) bytes: Vec<u8>,
}

impl FirstBytes {
    /// Reads until it is clear what the bytes are. Absent when the peer closed without a byte.
    ///
    /// # Errors
    ///
    /// When reading fails.
    pub(super) async fn of(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            if let Some(saw) = recognise(&bytes) {
                return Ok(Some(Self { saw, bytes }));
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                let unfinished = Self {
                    saw: Bytes::Other,
                    bytes,
                };
                return Ok((!unfinished.bytes.is_empty()).then_some(unfinished));
            }
        }
    }

    /// The nonce of the call, where the first line carries one.
    pub(super) fn nonce(&self) -> Option<&str> {
        let line = first_line(&self.bytes)?;
        match self.saw {
            Bytes::Http => nonce_of_path(line.split(' ').nth(1)?),
            Bytes::Line => nonce_of_line(line),
            Bytes::ClientHello | Bytes::Other => None,
        }
    }
}

/// What the bytes are; absent while that is open.
fn recognise(bytes: &[u8]) -> Option<Bytes> {
    match bytes {
        // A TLS record of type handshake and its major version (RFC 8446, section 5.1).
        [0x16, 0x03, ..] => return Some(Bytes::ClientHello),
        [] | [0x16] => return None,
        _ => {}
    }
    let text = bytes.iter().take_while(|byte| is_text(**byte)).count();
    match bytes.get(text) {
        Some(b'\n') if first_line(bytes).is_some_and(is_request_line) => Some(Bytes::Http),
        Some(b'\n') if bytes.starts_with(HTTP2_PREFACE) => Some(Bytes::Other),
        Some(b'\n') => Some(Bytes::Line),
        Some(_) => Some(Bytes::Other),
        None if text > LONGEST_LINE => Some(Bytes::Other),
        None => None,
    }
}

const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\r' | 0x20..=0x7e)
}

fn first_line(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    std::str::from_utf8(&bytes[..end])
        .ok()
        .map(|line| line.trim_end_matches('\r'))
}

/// `method SP request-target SP HTTP-version` (RFC 9112, section 3) of HTTP/1.
fn is_request_line(line: &str) -> bool {
    let mut words = line.split(' ');
    matches!(
        (words.next(), words.next(), words.next(), words.next()),
        (Some(_), Some(_), Some("HTTP/1.0" | "HTTP/1.1"), None)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_recognised_as_soon_as_they_are_clear() {
        let long = "a".repeat(LONGEST_LINE + 1);
        for (bytes, saw) in [
            ("", None),
            ("\x16", None),
            ("\x16\x03", Some(Bytes::ClientHello)),
            ("\x16\x00", Some(Bytes::Other)),
            ("GET /meshproof/1 HTTP/1.1", None),
            ("GET /meshproof/1 HTTP/1.1\r\n", Some(Bytes::Http)),
            ("GET /meshproof/1 HTTP/1.0\n", Some(Bytes::Http)),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Bytes::Other)),
            ("meshproof 1", None),
            ("meshproof 1\n", Some(Bytes::Line)),
            ("\0\0\0", Some(Bytes::Other)),
            ("meshproof \0", Some(Bytes::Other)),
            (long.as_str(), Some(Bytes::Other)),
        ] {
            assert_eq!(recognise(bytes.as_bytes()), saw, "{bytes:?}");
        }
    }

    #[test]
    fn a_nonce_is_found_in_a_path_and_in_a_line() {
        for (bytes, nonce) in [
            ("GET /meshproof/n1 HTTP/1.1\r\n", Some("n1")),
            ("GET / HTTP/1.1\r\n", None),
            ("meshproof n2\r\n", Some("n2")),
            ("hello n3\n", None),
            ("\x16\x03", None),
        ] {
            let first = FirstBytes {
                saw: recognise(bytes.as_bytes()).unwrap(),
                bytes: bytes.as_bytes().to_vec(),
            };
            assert_eq!(first.nonce(), nonce, "{bytes:?}");
        }
    }
}
