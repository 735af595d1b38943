//! Listening in on a network, without touching what is on it.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use socket2::Socket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::WireError;
use super::flow::Flows;
use super::key_log::Secrets;
use super::session;
use crate::network_namespace::NetworkNamespace;
use crate::probe::wire::WireConnection;

/// How long secrets may take to get from a proxy to its key log. Logs are flushed every millisecond.
const SECRETS_DEADLINE: Duration = Duration::from_secs(1);
/// How often the key log is looked at meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How often packets are collected, so that the system need not keep many.
const COLLECT_EVERY: Duration = Duration::from_millis(5);
/// The longest packet, with room for what segmentation offload adds up.
const LONGEST: usize = 128 * 1024;
/// What the system may keep for us; it gives what it allows.
const KEPT: usize = 4 * 1024 * 1024;

/// Collects the packets of connections to one place until it is asked what they were.
pub(crate) struct Tap {
    end: oneshot::Sender<()>,
    reading: JoinHandle<io::Result<Flows>>,
}

impl Tap {
    /// Begins to listen in on all interfaces of a namespace.
    ///
    /// # Errors
    /// [`WireError::Forbidden`].
    pub(crate) async fn open(namespace: &NetworkNamespace, server: SocketAddr) -> Result<Self, WireError> {
        let forbidden = |source| WireError::Forbidden { source };
        let opened = namespace.inside(move || listen_in(server.port())).await;
        let socket = opened.and_then(|it| it).map_err(forbidden)?;
        let (end, ended) = oneshot::channel();
        let reading = tokio::spawn(read(socket, Flows::to(server), ended));
        Ok(Self { end, reading })
    }

    /// What went over the wire, decrypted with the secrets in these files. For those of connections that are under way it
    /// waits a little.
    ///
    /// # Errors
    /// When packets or secrets could not be read.
    pub(crate) async fn told(self, key_logs: &[PathBuf]) -> Result<Vec<WireConnection>, WireError> {
        // Fails only where reading has failed, which is told next.
        let _ = self.end.send(());
        let read = self.reading.await.map_err(io::Error::other);
        let flows = read
            .and_then(|it| it)
            .map_err(|source| WireError::Lost { source })?;
        let deadline = tokio::time::Instant::now() + SECRETS_DEADLINE;
        loop {
            let secrets = Secrets::read(key_logs)?;
            let told: Vec<_> = flows.iter().map(|flow| session::of(flow, &secrets)).collect();
            let awaits = !key_logs.is_empty() && told.iter().any(|it| it.awaits_secrets);
            if !awaits || tokio::time::Instant::now() > deadline {
                return Ok(told.into_iter().map(|it| it.connection).collect());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Reads until `ended`, and then what is there already: the system hands packets over before their receiver sees them.
async fn read(socket: Socket, mut flows: Flows, mut ended: oneshot::Receiver<()>) -> io::Result<Flows> {
    let mut buffer = vec![0; LONGEST];
    let mut tick = tokio::time::interval(COLLECT_EVERY);
    loop {
        let is_over = tokio::select! {
            _ = tick.tick() => false,
            _ = &mut ended => true,
        };
        drain(&socket, &mut buffer, &mut flows)?;
        if is_over {
            return Ok(flows);
        }
    }
}

fn drain(mut socket: &Socket, buffer: &mut [u8], flows: &mut Flows) -> io::Result<()> {
    loop {
        match socket.read(buffer) {
            Ok(length) => flows.take(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // An interface went down, as those of a namespace do when it ends.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::NetworkDown
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A socket for packets of TCP over IPv4 from and to a port, from their IP headers on (packet(7)).
#[cfg(target_os = "linux")]
fn listen_in(port: u16) -> io::Result<Socket> {
    use socket2::{Domain, Protocol, SockFilter, Type};

    // ETH_P_ALL of linux/if_ether.h, for with any other what is sent is not shown; in network order, as the system wants it.
    let every_protocol = Protocol::from(i32::from(3_u16.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(every_protocol))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(KEPT)?;
    // Classic BPF (linux/bpf_common.h): load, jump where equal, return how much of the packet is wanted.
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_HALF_BEHIND: u16 = 0x48;
    const SKIP_HEADER: u16 = 0xb1;
    const AND: u16 = 0x54;
    const EQUAL: u16 = 0x15;
    const ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let port = u32::from(port);
    socket.attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, 0),
        SockFilter::new(AND, 0, 0, 0xf0),
        // IPv4, of TCP, and no later fragment.
        SockFilter::new(EQUAL, 0, 9, 0x40),
        SockFilter::new(LOAD_BYTE, 0, 0, 9),
        SockFilter::new(EQUAL, 0, 7, 6),
        SockFilter::new(LOAD_HALF, 0, 0, 6),
        SockFilter::new(ANY_BIT, 5, 0, 0x1fff),
        SockFilter::new(SKIP_HEADER, 0, 0, 0),
        SockFilter::new(LOAD_HALF_BEHIND, 0, 0, 0),
        SockFilter::new(EQUAL, 3, 0, port),
        SockFilter::new(LOAD_HALF_BEHIND, 0, 0, 2),
        SockFilter::new(EQUAL, 1, 0, port),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])?;
    Ok(socket)
}

#[cfg(not(target_os = "linux"))]
fn listen_in(_: u16) -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}
