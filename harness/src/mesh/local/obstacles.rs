//! What stands in the way to a pod: places on loopback that behave as the network would.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;

use super::places::{Detours, NOWHERE};
use crate::fault::{Conditions, Obstacle};

/// How long a connection on loopback takes at most where there is room for it: the system completes it within the
/// call, whoever should accept it.
const COMPLETES_WITHIN: Duration = Duration::from_millis(100);
/// More connections than any system lets wait on a socket that asks for the fewest.
const MOST: usize = 256;

/// The sockets behind obstacles, made when first needed.
#[derive(Debug, Default)]
pub(super) struct Obstacles {
    black_hole: Option<BlackHole>,
    silence: Option<Socket>,
}

/// A socket whose queue of connections to accept is full, so that the system drops every further SYN.
#[derive(Debug)]
struct BlackHole {
    socket: Socket,
    /// What fills the queue.
    _waiting: Vec<TcpStream>,
}

impl Obstacles {
    /// Where connections go instead of to the pods behind an obstacle.
    ///
    /// # Errors
    /// When the system has no socket left.
    pub(super) async fn detours(&mut self, conditions: &Conditions) -> io::Result<Detours> {
        let mut detours = Detours::new();
        for (workload, ports) in &conditions.obstacles {
            let mut of_workload = BTreeMap::new();
            for (port, obstacle) in ports {
                of_workload.insert(*port, self.place(*obstacle).await?);
            }
            detours.insert(workload.clone(), of_workload);
        }
        for workload in &conditions.killed {
            let of_workload = detours.entry(workload.clone()).or_default();
            of_workload.entry(None).or_insert(NOWHERE.into());
        }
        Ok(detours)
    }

    async fn place(&mut self, obstacle: Obstacle) -> io::Result<SocketAddr> {
        match obstacle {
            Obstacle::Refusal => Ok(NOWHERE.into()),
            Obstacle::Silence => {
                let socket = match self.silence.take() {
                    Some(known) => known,
                    // The system accepts, and nobody ever looks.
                    None => listening(128)?,
                };
                address(self.silence.insert(socket))
            }
            Obstacle::BlackHole => {
                let hole = match self.black_hole.take() {
                    Some(known) => known,
                    None => BlackHole::dig().await?,
                };
                address(&self.black_hole.insert(hole).socket)
            }
        }
    }
}

impl BlackHole {
    async fn dig() -> io::Result<Self> {
        let socket = listening(0)?;
        let address = address(&socket)?;
        let mut waiting = Vec::new();
        while waiting.len() < MOST {
            match tokio::time::timeout(COMPLETES_WITHIN, TcpStream::connect(address)).await {
                Ok(stream) => waiting.push(stream?),
                Err(_) => {
                    return Ok(Self {
                        socket,
                        _waiting: waiting,
                    });
                }
            }
        }
        Err(io::Error::other(format!(
            "{MOST} connections to a socket that accepts none were completed"
        )))
    }
}

fn listening(backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

fn address(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("a socket of the internet has no such address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::WorkloadName;

    fn conditions(obstacle: Obstacle) -> Conditions {
        Conditions {
            obstacles: [(WorkloadName::new("a", "b"), [(None, obstacle)].into())].into(),
            ..Conditions::default()
        }
    }

    #[tokio::test]
    async fn each_obstacle_does_with_a_connection_what_it_says() {
        let mut obstacles = Obstacles::default();
        for (obstacle, expected) in [
            (Obstacle::BlackHole, None),
            (Obstacle::Silence, Some(true)),
            (Obstacle::Refusal, Some(false)),
        ] {
            let detours = obstacles.detours(&conditions(obstacle)).await.unwrap();
            let address = detours[&WorkloadName::new("a", "b")][&None];
            let tried = tokio::time::timeout(COMPLETES_WITHIN, TcpStream::connect(address)).await;
            assert_eq!(
                tried.ok().map(|connected| connected.is_ok()),
                expected,
                "{obstacle:?}"
            );
            let again = obstacles.detours(&conditions(obstacle)).await.unwrap();
            assert_eq!(again, detours);
        }
    }
}
