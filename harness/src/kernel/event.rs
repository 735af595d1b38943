//! The lines of the program.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::{FromStr, SplitWhitespace};

use crate::probe::kernel::TlsRecord;

/// Something that the kernel did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Event {
    /// Nanoseconds since the host came up.
    pub(super) at: u64,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    /// A process began to connect a socket.
    Dialled { socket: u64, process: u32 },
    /// A connection or an attempt is over.
    Closed {
        socket: u64,
        /// The state it was in (`enum` in include/net/tcp_states.h).
        state: u32,
        local: SocketAddr,
        remote: SocketAddr,
        sent: u64,
        received: u64,
    },
    /// A reset was sent.
    Reset {
        reason: u32,
        from: SocketAddr,
        to: SocketAddr,
    },
    /// A reset was received.
    WasReset { socket: u64 },
    /// A TLS record was sent.
    Record { socket: u64, record: TlsRecord },
}

impl Event {
    /// Reads a line; nothing where it is none of the program's events.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let at = next(&mut words)?;
        let what = match name {
            "dialled" => What::Dialled {
                socket: socket(&mut words)?,
                process: next(&mut words)?,
            },
            "closed" => What::Closed {
                socket: socket(&mut words)?,
                state: next(&mut words)?,
                local: address(&mut words)?,
                remote: address(&mut words)?,
                sent: next(&mut words)?,
                received: next(&mut words)?,
            },
            "reset" => {
                let reason = next(&mut words)?;
                let _state: u32 = next(&mut words)?;
                What::Reset {
                    reason,
                    from: address(&mut words)?,
                    to: address(&mut words)?,
                }
            }
            "was-reset" => What::WasReset {
                socket: socket(&mut words)?,
            },
            "record" => What::Record {
                socket: socket(&mut words)?,
                record: TlsRecord {
                    kind: next(&mut words)?,
                    length: next(&mut words)?,
                    first: [next(&mut words)?, next(&mut words)?],
                },
            },
            _ => return None,
        };
        Some(Self { at, what })
    }
}

fn next<T: FromStr>(words: &mut SplitWhitespace<'_>) -> Option<T> {
    words.next()?.parse().ok()
}

fn socket(words: &mut SplitWhitespace<'_>) -> Option<u64> {
    u64::from_str_radix(words.next()?, 16).ok()
}

/// Written as IPv6, of IPv4 as mapped.
fn address(words: &mut SplitWhitespace<'_>) -> Option<SocketAddr> {
    let ip: Ipv6Addr = next(words)?;
    Some(SocketAddr::new(IpAddr::V6(ip).to_canonical(), next(words)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_program_are_read_and_others_are_not() {
        let closed =
            "closed 44663766128896 ffff88812cf86f00 5 ::ffff:127.0.0.1 46566 ::ffff:127.0.0.1 46323 393 416";
        let expected = What::Closed {
            socket: 0xffff_8881_2cf8_6f00,
            state: 5,
            local: ([127, 0, 0, 1], 46_566).into(),
            remote: ([127, 0, 0, 1], 46_323).into(),
            sent: 393,
            received: 416,
        };
        let event = Event::parse(closed).unwrap();
        assert_eq!((event.at, event.what), (44_663_766_128_896, expected));
        let reset = Event::parse("reset 1 1 0 0:0:0:0:0:0:0:1 9 0:0:0:0:0:0:0:1 37214").unwrap();
        let What::Reset { reason, from, to } = reset.what else {
            panic!("{reset:?}")
        };
        assert_eq!(
            (reason, from.to_string(), to.to_string()),
            (1, "[::1]:9".to_owned(), "[::1]:37214".to_owned())
        );
        for other in [
            "",
            "ready",
            "closed",
            "closed 1 zz 5",
            "Lost 12 events",
            &closed[..60],
        ] {
            assert_eq!(Event::parse(other), None, "{other}");
        }
    }
}
