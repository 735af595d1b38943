//! From events to connections.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::event::{Event, What};
use crate::probe::kernel::{KernelConnection, KernelEnd};

/// A connection, and who began it.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// The process that dialled it.
    pub process: u32,
    /// When its client's end was over, in nanoseconds since the host came up.
    pub at: u64,
    /// What was seen of it.
    pub connection: KernelConnection,
}

/// `TCP_ESTABLISHED`: what a reset ends; and the states of an end that closed first (include/net/tcp_states.h).
const SYN_SENT: u32 = 2;
const CLOSE_WAIT: u32 = 8;
const LAST_ACK: u32 = 9;
/// How many records of an end are kept: those of its handshake, and what follows them.
const RECORDS: usize = 8;

/// An end that is over.
#[derive(Debug)]
struct Over {
    at: u64,
    state: u32,
    local: SocketAddr,
    remote: SocketAddr,
    dialled: Option<(u64, u32)>,
    end: KernelEnd,
}

/// The connections whose client's ends are over, in the order in which they ended. Events may come in any order.
pub(super) fn connections(events: &[Event]) -> Vec<Watched> {
    let mut events = events.to_vec();
    events.sort_by_key(|event| event.at);
    let mut open: HashMap<u64, (Option<(u64, u32)>, KernelEnd)> = HashMap::new();
    let mut over: Vec<Over> = Vec::new();
    let mut resets: Vec<(u64, u32, SocketAddr, SocketAddr)> = Vec::new();
    for event in events {
        match event.what {
            What::Dialled { socket, process } => {
                // The kernel uses the place of a socket again.
                open.insert(socket, (Some((event.at, process)), KernelEnd::default()));
            }
            What::Record { socket, record } => {
                let (_, end) = open.entry(socket).or_default();
                // The last one tells how it ended.
                end.records.truncate(RECORDS - 1);
                end.records.push(record);
            }
            What::WasReset { socket } => open.entry(socket).or_default().1.was_reset = true,
            What::Reset { reason, from, to } => resets.push((event.at, reason, from, to)),
            What::Closed {
                socket,
                state,
                local,
                remote,
                sent,
                received,
            } => {
                let (dialled, mut end) = open.remove(&socket).unwrap_or_default();
                (end.sent, end.received) = (sent, received);
                end.closed_first = !matches!(state, CLOSE_WAIT | LAST_ACK);
                over.push(Over {
                    at: event.at,
                    state,
                    local,
                    remote,
                    dialled,
                    end,
                });
            }
        }
    }
    for end in &mut over {
        let its =
            |(_, _, from, to): &&(u64, u32, SocketAddr, SocketAddr)| (*from, *to) == (end.local, end.remote);
        end.end.reset = resets.iter().find(its).map(|(_, reason, ..)| *reason);
    }
    let clients = over.iter().filter_map(|client| Some((client, client.dialled?)));
    clients
        .map(|(client, (dialled, process))| {
            let server = server_of(client, &over);
            let refused =
                |(at, _, _, to): &&(u64, u32, SocketAddr, SocketAddr)| *to == client.local && *at >= dialled;
            let established = client.state != SYN_SENT;
            Watched {
                process,
                at: client.at,
                connection: KernelConnection {
                    client: client.local,
                    server: client.remote,
                    millis: millis(client.at.saturating_sub(dialled)),
                    established,
                    refused_by: match established {
                        true => None,
                        false => resets.iter().find(refused).map(|(_, _, from, _)| *from),
                    },
                    client_end: client.end.clone(),
                    server_end: server.map(|it| it.end.clone()),
                },
            }
        })
        .collect()
}

/// The other end of what a client dialled. Under capture it has another address of its own: rules lead the connection to the
/// sidecar's port, and only the client's address stays.
fn server_of<'a>(client: &Over, over: &'a [Over]) -> Option<&'a Over> {
    let nearest = |is_its: &dyn Fn(&&Over) -> bool| {
        over.iter()
            .filter(is_its)
            .min_by_key(|end| end.at.abs_diff(client.at))
    };
    nearest(&|end| (end.local, end.remote) == (client.remote, client.local)).or_else(|| {
        nearest(&|end| end.dialled.is_none() && end.remote == client.local && client.state != SYN_SENT)
    })
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of one connection")]
fn millis(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(lines: &str) -> Vec<Watched> {
        let events: Vec<Event> = lines.lines().filter_map(Event::parse).collect();
        assert_eq!(events.len(), lines.lines().count(), "{lines}");
        connections(&events)
    }

    const REFUSED: &str = "\
dialled 1000000 a1 77
reset 2000000 1 0 ::ffff:10.0.0.2 15099 ::ffff:10.0.0.1 40000
was-reset 2100000 a1 ::ffff:10.0.0.1 40000 ::ffff:10.0.0.2 8080
closed 3000000 a1 2 ::ffff:10.0.0.1 40000 ::ffff:10.0.0.2 8080 0 0";

    #[test]
    fn an_attempt_that_is_refused_elsewhere_says_where() {
        let [watched] = &fold(REFUSED)[..] else { panic!() };
        assert_eq!((watched.process, watched.connection.millis), (77, 2.0));
        assert!(!watched.connection.established && watched.connection.client_end.was_reset);
        assert_eq!(
            watched.connection.refused_by.unwrap().to_string(),
            "10.0.0.2:15099"
        );
    }

    #[test]
    fn both_ends_are_joined_whatever_the_order_of_their_lines() {
        let lines = "\
dialled 1000 a1 77
record 2000 a1 22 517 1 0
record 3000 b2 22 1754 2 0
record 4000 a1 20 30 1 23
closed 5000 a1 5 ::ffff:10.0.0.1 40000 ::ffff:10.0.0.2 8080 547 1758
closed 6000 b2 9 ::ffff:10.0.0.2 8080 ::ffff:10.0.0.1 40000 1757 548
reset 7000 11 7 ::ffff:10.0.0.2 8080 ::ffff:10.0.0.1 40000";
        let mut backwards: Vec<&str> = lines.lines().collect();
        backwards.reverse();
        let folded = fold(lines);
        assert_eq!(folded, fold(&backwards.join("\n")));
        let [watched] = &folded[..] else { panic!() };
        let connection = &watched.connection;
        assert_eq!(connection.client_end.records.len(), 2);
        let server = connection.server_end.as_ref().unwrap();
        assert_eq!(
            (server.records.len(), server.sent, server.reset),
            (1, 1757, Some(11))
        );
        assert!(connection.client_end.closed_first && !server.closed_first);
    }

    #[test]
    fn ends_are_joined_where_capture_led_the_connection_to_another_port() {
        let lines = "\
dialled 1000 a1 77
closed 5000 a1 5 ::ffff:10.0.0.1 40000 ::ffff:10.0.0.2 8080 547 1758
closed 5500 c3 5 ::ffff:10.0.0.2 15006 ::ffff:10.0.0.1 40001 1 1
closed 6000 b2 9 ::ffff:10.0.0.2 15006 ::ffff:10.0.0.1 40000 1757 548";
        let [watched] = &fold(lines)[..] else { panic!() };
        assert_eq!(
            watched.connection.server_end.as_ref().map(|it| it.sent),
            Some(1757)
        );
        let refused = lines.replace("a1 5 ", "a1 2 ");
        let [watched] = &fold(&refused)[..] else { panic!() };
        assert_eq!(
            watched.connection.server_end, None,
            "who was never answered has no other end"
        );
    }

    #[test]
    fn a_socket_that_is_used_again_is_another_connection() {
        let again = REFUSED
            .replace("closed 3000000", "closed 3500000")
            .replace("dialled 1000000", "dialled 3100000");
        let both = format!("{REFUSED}\n{again}\nrecord 3200000 a1 22 517 1 0");
        let folded = fold(&both);
        let records: Vec<usize> = folded
            .iter()
            .map(|it| it.connection.client_end.records.len())
            .collect();
        assert_eq!(records, [0, 1]);
    }

    #[test]
    fn of_many_records_the_last_is_kept() {
        let mut lines = "dialled 1 a1 77".to_owned();
        for number in 0..50 {
            lines.push_str(&format!("\nrecord {} a1 23 {} 0 0", number + 2, 100 + number));
        }
        lines.push_str("\nclosed 99 a1 5 ::ffff:10.0.0.1 1 ::ffff:10.0.0.2 2 1 1");
        let [watched] = &fold(&lines)[..] else { panic!() };
        let lengths: Vec<u64> = watched
            .connection
            .client_end
            .records
            .iter()
            .map(|it| it.length)
            .collect();
        assert_eq!(lengths, [100, 101, 102, 103, 104, 105, 106, 149]);
    }
}
