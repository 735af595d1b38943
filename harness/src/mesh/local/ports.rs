//! The ports of a sidecar's listeners, which are what a pod has of the network.
//!
//! Each listener is given a port of its own. Envoy could choose them, but must not: a listener that is new on
//! `127.0.0.1:0` takes over the socket of any listener that is being drained and was configured with the same address
//! (`ListenerManagerImpl::addOrUpdateListenerInternal`, source/common/listener_manager), so that two listeners would
//! share a port whenever one is changed or removed while another is added.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Ports by the names of their listeners, for as long as the pod lives.
#[derive(Debug, Default)]
pub(crate) struct Ports(BTreeMap<String, Port>);

/// A port that the system gives to nobody else.
#[derive(Debug)]
struct Port {
    address: SocketAddr,
    /// Bound, never listening. Envoy's own socket shares the port (`SO_REUSEPORT`, its default on Linux only).
    #[cfg(target_os = "linux")]
    _reservation: Socket,
}

impl Ports {
    /// The port of the listener `name`: the one it has, or a new one.
    ///
    /// # Errors
    /// When the system has no port left.
    pub(super) fn of(&mut self, name: &str) -> io::Result<SocketAddr> {
        if let Some(known) = self.0.get(name) {
            return Ok(known.address);
        }
        let port = Port::reserve()?;
        let address = port.address;
        self.0.insert(name.to_owned(), port);
        Ok(address)
    }
}

impl Port {
    fn reserve() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        #[cfg(target_os = "linux")]
        socket.set_reuse_port(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a socket of the internet has no such address"))?;
        Ok(Self {
            address,
            #[cfg(target_os = "linux")]
            _reservation: socket,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_keeps_its_port_and_no_other_gets_it() {
        let mut ports = Ports::default();
        let first = ["a", "b"].map(|name| ports.of(name).unwrap());
        let second = ["c", "a"].map(|name| ports.of(name).unwrap());
        assert_eq!(first[0], second[1]);
        let mut addresses: Vec<String> = ports.0.values().map(|port| port.address.to_string()).collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 3);
    }
}
