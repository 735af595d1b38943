//! Connections to one place, put together from packets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, SlicedPacket, TcpSlice, TransportSlice};

use crate::outcome::Side;

/// The connections to one place that packets were seen of, in the order of their first one.
pub(super) struct Flows {
    server: SocketAddr,
    flows: Vec<Flow>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    /// Whether the server answered its SYN with one.
    pub(super) is_established: bool,
    pub(super) to_server: Stream,
    pub(super) to_client: Stream,
    /// The end whose FIN was first.
    pub(super) closed_first: Option<Side>,
    /// The end whose reset was first.
    pub(super) reset_by: Option<Side>,
}

/// What one end sent.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The sequence number of the first byte, where the SYN was seen.
    start: Option<u32>,
    /// By their distance from the first byte.
    segments: BTreeMap<u32, Vec<u8>>,
}

impl Flows {
    pub(super) const fn to(server: SocketAddr) -> Self {
        Self {
            server,
            flows: Vec::new(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter()
    }

    /// Takes in a packet that begins with its IP header. The loopback interface shows each twice.
    pub(super) fn take(&mut self, packet: &[u8]) {
        let Ok(packet) = SlicedPacket::from_ip(packet) else {
            return;
        };
        let (Some(net), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport) else {
            return;
        };
        let Some([from, to]) = addresses(net) else { return };
        let from = SocketAddr::new(from, tcp.source_port());
        let to = SocketAddr::new(to, tcp.destination_port());
        if to == self.server {
            self.flow(from, tcp).take(Side::Client, tcp);
        } else if from == self.server {
            self.flow(to, tcp).take(Side::Server, tcp);
        }
    }

    /// The newest connection from there, or a new one where a SYN begins it.
    fn flow(&mut self, client: SocketAddr, tcp: &TcpSlice<'_>) -> &mut Flow {
        let known = self.flows.iter().rposition(|flow| flow.client == client);
        let begins_anew = |flow: &Flow| {
            let start = flow.to_server.start;
            tcp.syn() && !tcp.ack() && start.is_some_and(|it| it != tcp.sequence_number().wrapping_add(1))
        };
        let index = match known {
            Some(index) if !begins_anew(&self.flows[index]) => index,
            _ => {
                self.flows.push(Flow {
                    client,
                    server: self.server,
                    is_established: false,
                    to_server: Stream::default(),
                    to_client: Stream::default(),
                    closed_first: None,
                    reset_by: None,
                });
                self.flows.len() - 1
            }
        };
        &mut self.flows[index]
    }
}

impl Flow {
    fn take(&mut self, by: Side, tcp: &TcpSlice<'_>) {
        self.is_established |= by == Side::Server && tcp.syn() && tcp.ack();
        if tcp.rst() {
            self.reset_by.get_or_insert(by);
        } else if tcp.fin() {
            self.closed_first.get_or_insert(by);
        }
        let stream = match by {
            Side::Client => &mut self.to_server,
            Side::Server => &mut self.to_client,
        };
        stream.take(tcp);
    }
}

impl Stream {
    fn take(&mut self, tcp: &TcpSlice<'_>) {
        let sequence = tcp.sequence_number();
        if tcp.syn() {
            self.start.get_or_insert(sequence.wrapping_add(1));
            return;
        }
        let Some(start) = self.start else { return };
        if tcp.payload().is_empty() {
            return;
        }
        let segment = self.segments.entry(sequence.wrapping_sub(start)).or_default();
        if segment.len() < tcp.payload().len() {
            *segment = tcp.payload().to_vec();
        }
    }

    /// Whether its beginning was seen.
    pub(super) const fn has_begun(&self) -> bool {
        self.start.is_some()
    }

    /// All bytes, as far as none is missing.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (offset, segment) in &self.segments {
            let Ok(offset) = usize::try_from(*offset) else {
                break;
            };
            let Some(known) = bytes.len().checked_sub(offset) else {
                break;
            };
            if let Some(new) = segment.get(known..) {
                bytes.extend_from_slice(new);
            }
        }
        bytes
    }
}

/// Where a packet comes from and where it goes.
fn addresses(net: &NetSlice<'_>) -> Option<[IpAddr; 2]> {
    match net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            Some([header.source_addr().into(), header.destination_addr().into()])
        }
        NetSlice::Ipv6(_) | NetSlice::Arp(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
    const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 8080);

    /// A packet from the first to the second; flags as tcpdump writes them.
    fn packet(from: ([u8; 4], u16), to: ([u8; 4], u16), sequence: u32, flags: &str, bytes: &[u8]) -> Vec<u8> {
        let mut tcp = PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, sequence, 1000);
        for flag in flags.chars() {
            tcp = match flag {
                'S' => tcp.syn(),
                'F' => tcp.fin(),
                'R' => tcp.rst(),
                _ => tcp.ack(1),
            };
        }
        let mut packet = Vec::new();
        tcp.write(&mut packet, bytes).unwrap();
        packet
    }

    #[test]
    fn bytes_are_put_together_whatever_the_order_of_packets_and_however_often_they_come() {
        let mut flows = Flows::to(SERVER.into());
        // The sequence numbers run over.
        let first = u32::MAX - 3;
        let segment = |at: u32, bytes| packet(CLIENT, SERVER, first.wrapping_add(1 + at), ".", bytes);
        for packet in [
            packet(CLIENT, SERVER, first, "S", b""),
            packet(CLIENT, SERVER, first, "S", b""),
            packet(SERVER, CLIENT, 7, "S.", b""),
            segment(5, b"fgh"),
            segment(0, b"abc"),
            segment(0, b"abcde"),
            segment(3, b"defg"),
            segment(20, b"lost before"),
            packet(SERVER, CLIENT, 8, "F.", b""),
            packet(CLIENT, SERVER, first, "R", b""),
            packet(CLIENT, ([10, 0, 0, 3], 8080), 1, "S", b"elsewhere"),
            b"no packet at all".to_vec(),
        ] {
            flows.take(&packet);
        }
        let [flow] = flows.flows.as_slice() else {
            panic!("{:?}", flows.flows)
        };
        assert_eq!(flow.to_server.bytes(), b"abcdefgh");
        assert!(flow.is_established && flow.to_client.bytes().is_empty());
        assert_eq!(
            (flow.closed_first, flow.reset_by),
            (Some(Side::Server), Some(Side::Client))
        );
    }

    #[test]
    fn a_port_that_is_used_again_is_another_connection() {
        let mut flows = Flows::to(SERVER.into());
        for sequence in [1, 5_000] {
            flows.take(&packet(CLIENT, SERVER, sequence, "S", b""));
            flows.take(&packet(SERVER, CLIENT, 0, "R.", b""));
        }
        let refused = |flow: &Flow| !flow.is_established && flow.reset_by == Some(Side::Server);
        assert_eq!(flows.iter().filter(|flow| refused(flow)).count(), 2);
    }
}
