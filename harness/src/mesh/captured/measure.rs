//! Whether this machine has what such tiers need: tried, not guessed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::capture::{self, Rules};
use super::command::NetnsError;
use super::fabric::{Fabric, namespace};
use crate::fault::Obstacle;

/// Makes what a pod gets, with a rule of every kind.
///
/// # Errors
/// What is missing, or forbidden.
pub(crate) async fn measure() -> Result<(), NetnsError> {
    let pod = namespace().await?;
    Fabric::new().await?.join([&pod]).await?;
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
    capture::enforce(&pod, &rules).await
}

/// How long it takes to make so many pods' networks, with the rules of a pod that nothing stands in the way to.
///
/// # Errors
/// What is missing, or forbidden.
pub(crate) async fn time_of_namespaces(pods: usize) -> Result<Duration, NetnsError> {
    let began = Instant::now();
    let namespaces = try_join_all((0..pods).map(|_| namespace())).await?;
    Fabric::new().await?.join(&namespaces).await?;
    let rules = Rules {
        captured: true,
        ..Rules::default()
    };
    try_join_all(namespaces.iter().map(|it| capture::enforce(it, &rules))).await?;
    Ok(began.elapsed())
}
