//! What is measured of a proxy, and how far rounds lie apart.

use std::time::Duration;

use serde::Serialize;

use super::Measured;
use super::round::Round;
use crate::bench::Spread;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, strum::VariantArray)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// Of calls to a server with a valid certificate of another name, how many the client's proxy refused as that.
    WrongNamesRefused,
    /// From spawning the binary until it says that it is live, with configuration and certificates in force.
    StartToReadyP50,
    /// The same, of the slowest in a hundred.
    StartToReadyP99,
    /// What is resident of the server's proxy after its handshakes.
    ResidentMemory,
    /// A full handshake with a client certificate, as its client sees it.
    HandshakeP50,
    /// The same, of the slowest in a hundred.
    HandshakeP99,
    /// How many of them the server's proxy does in a second of its own processor time.
    HandshakesPerCpuSecond,
    /// What our alerts rest on (failures found in logs, refusals counted by proxies), in a thousand healthy connections.
    FalseAlarms,
}

impl Figure {
    /// All, in the order of the table.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// In words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::WrongNamesRefused => "wrong SANs refused",
            Self::StartToReadyP50 => "start to ready, p50",
            Self::StartToReadyP99 => "start to ready, p99",
            Self::ResidentMemory => "resident memory",
            Self::HandshakeP50 => "mTLS handshake, p50",
            Self::HandshakeP99 => "mTLS handshake, p99",
            Self::HandshakesPerCpuSecond => "handshakes per CPU second",
            Self::FalseAlarms => "false alarms per 1,000 connections",
        }
    }

    /// What its values count.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::WrongNamesRefused => "%",
            Self::StartToReadyP50 | Self::StartToReadyP99 | Self::HandshakeP50 | Self::HandshakeP99 => "ms",
            Self::ResidentMemory => "MiB",
            Self::HandshakesPerCpuSecond => "1/s",
            Self::FalseAlarms => "",
        }
    }

    fn of(self, round: &Round) -> Option<f64> {
        Some(match self {
            Self::WrongNamesRefused => share(round.refused, round.wrong_names, 100.0),
            Self::StartToReadyP50 => percentile(&round.starts, 50),
            Self::StartToReadyP99 => percentile(&round.starts, 99),
            Self::ResidentMemory => count(usize::try_from(round.resident? / 1024).ok()?) / 1024.0,
            Self::HandshakeP50 => percentile(&round.handshakes, 50),
            Self::HandshakeP99 => percentile(&round.handshakes, 99),
            Self::HandshakesPerCpuSecond => count(round.handshakes.len()) / round.cpu?.as_secs_f64(),
            Self::FalseAlarms => share(round.alarms, round.healthy, 1000.0),
        })
    }
}

/// The figures of a proxy beside those of the `first` one.
pub(super) fn measured(rounds: &[Round], first: Option<&[Measured]>) -> Vec<Measured> {
    let figure = |figure: &Figure| {
        let values: Option<Vec<f64>> = rounds.iter().map(|round| figure.of(round)).collect();
        let spread = Spread::of(&values?);
        let base = first.and_then(|first| first.iter().find(|it| it.figure == *figure));
        let delta_percent = base.and_then(|base| spread.delta_percent(&base.spread, rounds.len()));
        Some(Measured {
            figure: *figure,
            unit: figure.unit(),
            spread,
            delta_percent,
        })
    };
    Figure::ALL.iter().filter_map(figure).collect()
}

/// The nearest-rank percentile in milliseconds; zero of nothing.
fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(rank).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

fn share(some: usize, all: usize, of: f64) -> f64 {
    count(some) * of / count(all.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "counts of thousands")]
const fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::proxies::round::tests::round_of;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        for (percent, millis) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
            assert_eq!(percentile(&times, percent), millis);
        }
        assert_eq!(percentile(&times[..1], 99), 200.0);
        assert_eq!(percentile(&[], 99), 0.0);
    }

    #[test]
    fn a_difference_is_stated_only_where_rounds_do_not_overlap() {
        let rounds = |mebibytes: &[u64]| mebibytes.iter().copied().map(round_of).collect::<Vec<_>>();
        let first = measured(&rounds(&[100, 110, 105, 105]), None);
        for (others, expected) in [
            (&[105, 130, 130, 130][..], None),
            (&[110, 130, 130, 130], None),
            (&[126, 126, 126], None),
            (&[126, 126, 126, 126], Some(20.0)),
            (&[84, 99, 84, 84], Some(-20.0)),
        ] {
            let rounds = rounds(others);
            let others = measured(&rounds, Some(&first));
            let its = others
                .iter()
                .find(|it| it.figure == Figure::ResidentMemory)
                .unwrap();
            assert_eq!(
                its.delta_percent.map(f64::round),
                expected,
                "{}",
                its.spread.median
            );
        }
    }

    #[test]
    fn what_a_system_does_not_tell_is_absent() {
        let silent = Round {
            resident: None,
            cpu: None,
            ..round_of(1)
        };
        let told: Vec<Figure> = measured(&[silent], None).iter().map(|it| it.figure).collect();
        assert_eq!(told.len(), Figure::ALL.len() - 2);
        assert!(!told.contains(&Figure::ResidentMemory) && !told.contains(&Figure::HandshakesPerCpuSecond));
    }
}
