//! The ports of a sidecar's listeners.
//!
//! Each listener is given a port of its own. Envoy could choose them, but must not: a listener that is new on
//! `127.0.0.1:0` takes over the socket of any listener that is being drained and was configured with the same address
//! (`ListenerManagerImpl::addOrUpdateListenerInternal`, source/common/listener_manager), so that two listeners would
//! share a port whenever one is changed or removed while another is added.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use envoy_types::pb::envoy::config::listener::v3::Listener;
use socket2::{Domain, Socket, Type};

use crate::envoy::config;

/// Ports by the names of their listeners, for as long as the sidecar lives.
#[derive(Debug, Default)]
pub(super) struct Ports(BTreeMap<String, Port>);

/// A port that the system gives to nobody else.
#[derive(Debug)]
struct Port {
    address: SocketAddr,
    /// Bound, never listening. Envoy's own socket shares the port (`SO_REUSEPORT`, its default on Linux only).
    #[cfg(target_os = "linux")]
    _reservation: Socket,
}

impl Ports {
    /// The address of every listener that was ever given one.
    pub(super) fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        let ports = self.0.iter();
        ports.map(|(name, port)| (name.clone(), port.address)).collect()
    }

    /// Gives every listener its port.
    ///
    /// # Errors
    /// When the system has no port left.
    pub(super) fn assign(&mut self, listeners: &mut [Listener]) -> io::Result<()> {
        for listener in listeners {
            let known = self.0.get(&listener.name).map(|port| port.address);
            let address = match known {
                Some(address) => address,
                None => {
                    let port = Port::reserve()?;
                    let address = port.address;
                    self.0.insert(listener.name.clone(), port);
                    address
                }
            };
            listener.address = Some(config::socket_address(address));
        }
        Ok(())
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

    fn named(name: &str) -> Listener {
        Listener {
            name: name.to_owned(),
            ..Listener::default()
        }
    }

    #[test]
    fn a_listener_keeps_its_port_and_no_other_gets_it() {
        let mut ports = Ports::default();
        let mut first = [named("a"), named("b")];
        ports.assign(&mut first).unwrap();
        let mut second = [named("c"), named("a")];
        ports.assign(&mut second).unwrap();
        assert_eq!(first[0].address, second[1].address);
        let mut addresses: Vec<String> = ports.0.values().map(|port| port.address.to_string()).collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 3);
    }
}
