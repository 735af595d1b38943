//! The network between pods: a bridge in a namespace of its own, and a pair of interfaces to each pod.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use futures_util::future::try_join_all;

use super::command::{IP, NetnsError};
use crate::network_namespace::NetworkNamespace;

/// The network of pods, as kubeadm's default has it. The first address is the bridge's.
const POD_NETWORK: [u8; 2] = [10, 244];
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// Addresses that pods may have.
const MOST: usize = 65_000;

/// A bridge, and how many pods it ever joined.
#[derive(Debug)]
pub(in crate::mesh) struct Fabric {
    namespace: NetworkNamespace,
    joined: usize,
}

impl Fabric {
    pub(in crate::mesh) async fn new() -> Result<Self, NetnsError> {
        let namespace = namespace().await?;
        let commands = format!(
            "link add bridge type bridge\naddr add {GATEWAY}/16 dev bridge\nlink set bridge up\nlink set lo up\n"
        );
        IP.run(&namespace, commands).await?;
        Ok(Self { namespace, joined: 0 })
    }

    /// Joins the namespaces of pods to the bridge. Each gets an address that no pod had before.
    pub(in crate::mesh) async fn join<'a>(
        &mut self,
        namespaces: impl IntoIterator<Item = &'a NetworkNamespace>,
    ) -> Result<Vec<Ipv4Addr>, NetnsError> {
        let (mut pairs, mut joined) = (String::new(), Vec::new());
        for namespace in namespaces {
            self.joined += 1;
            let address = address(self.joined)?;
            if let Some(path) = namespace.path() {
                let (number, path) = (self.joined, path.display());
                // Writing to a string cannot fail.
                let _ = writeln!(
                    pairs,
                    "link add pod{number} type veth peer name eth0 netns {path}"
                );
                let _ = writeln!(pairs, "link set pod{number} master bridge up");
            }
            joined.push((namespace, address));
        }
        IP.run(&self.namespace, pairs).await?;
        try_join_all(joined.iter().map(|(namespace, address)| {
            let commands = format!(
                "link set lo up\naddr add {address}/16 dev eth0\nlink set eth0 up\nroute add default via {GATEWAY}\n"
            );
            IP.run(namespace, commands)
        }))
        .await?;
        Ok(joined.into_iter().map(|(_, address)| address).collect())
    }
}

/// A namespace of this process alone.
pub(in crate::mesh) async fn namespace() -> Result<NetworkNamespace, NetnsError> {
    let namespace = NetworkNamespace::new().await;
    namespace.map_err(|source| NetnsError::Namespace { source })
}

/// The address of the pod that joined as this, counted from one.
fn address(number: usize) -> Result<Ipv4Addr, NetnsError> {
    let full = NetnsError::Full { most: MOST };
    match u16::try_from(number + 1) {
        Ok(number) if usize::from(number) <= MOST => {
            let ([a, b], [c, d]) = (POD_NETWORK, number.to_be_bytes());
            Ok(Ipv4Addr::new(a, b, c, d))
        }
        _ => Err(full),
    }
}
