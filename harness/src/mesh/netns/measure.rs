//! Whether this machine has what the tier needs: tried, not guessed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::capture::{self, Rules};
use super::command::NetnsError;
use super::fabric::Fabric;
use crate::fault::Obstacle;

/// Makes what a pod gets, with a rule of every kind.
///
/// # Errors
/// What is missing, or forbidden.
pub(crate) async fn measure() -> Result<(), NetnsError> {
    let joined = Fabric::new().await?.join(1).await?;
    let service = |last, endpoint: Option<SocketAddr>| {
        let address = SocketAddr::from((Ipv4Addr::new(10, 96, 0, last), 80));
        (address, endpoint)
    };
    let rules = Rules {
        captured: true,
        lets_calls_pass: false,
        services: [service(1, Some(([10, 244, 0, 9], 80).into())), service(2, None)].into(),
        obstacles: [
            (Some(1), Obstacle::BlackHole),
            (Some(2), Obstacle::Silence),
            (Some(3), Obstacle::Refusal),
            (Some(4), Obstacle::Bypass),
        ]
        .into(),
    };
    for (namespace, _) in &joined {
        capture::enforce(namespace, &rules).await?;
    }
    Ok(())
}

/// How long it takes to make so many pods' networks, with the rules of a pod that nothing stands in the way to.
///
/// # Errors
/// What is missing, or forbidden.
pub(crate) async fn time_of_namespaces(pods: usize) -> Result<Duration, NetnsError> {
    let began = Instant::now();
    let joined = Fabric::new().await?.join(pods).await?;
    let rules = Rules {
        captured: true,
        ..Rules::default()
    };
    try_join_all(
        joined
            .iter()
            .map(|(namespace, _)| capture::enforce(namespace, &rules)),
    )
    .await?;
    Ok(began.elapsed())
}
