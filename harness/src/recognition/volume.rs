//! How much proxies write of calls that nobody need read about.

use serde::Serialize;

use crate::mesh::ProxyLogs;

use super::Shown;

/// What healthy calls leave in logs, at both ends together. Each call of a scenario is on a connection of its own, which is
/// the most that a log of connections can cost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Volume {
    /// How many calls.
    pub calls: u64,
    /// Bytes they left, newlines included, in the order of [`Shown::ALL`].
    pub bytes: [u64; 3],
}

impl Volume {
    pub(super) fn add(&mut self, logs: &[ProxyLogs]) {
        self.calls += 1;
        for (shown, bytes) in Shown::ALL.into_iter().zip(&mut self.bytes) {
            let lines = logs.iter().flat_map(|proxy| shown.lines(proxy));
            *bytes += lines.map(|line| line.len() as u64 + 1).sum::<u64>();
        }
    }

    /// In a line.
    pub(super) fn text(&self) -> String {
        let [text, json, visible] = self.bytes.map(|bytes| bytes / self.calls.max(1));
        let percent = self.bytes[2] * 100 / self.bytes[0].max(1);
        format!(
            "a healthy call on a connection of its own leaves {text} bytes as installed in text, {json} in JSON, and {visible} with manifests/visibility ({percent} % of text)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_both_ends_are_counted_with_their_newlines() {
        let logs = |text: &str, visible: &[&str]| ProxyLogs {
            pod: "a".to_owned(),
            text: vec![text.to_owned()],
            json: Vec::new(),
            with_visibility: visible.iter().map(|line| (*line).to_owned()).collect(),
        };
        let mut volume = Volume::default();
        volume.add(&[logs("123", &[]), logs("12345", &["1"])]);
        volume.add(&[logs("1234567", &["1"])]);
        assert_eq!(
            volume,
            Volume {
                calls: 2,
                bytes: [18, 0, 4]
            }
        );
        assert!(volume.text().ends_with(
            "leaves 9 bytes as installed in text, 0 in JSON, and 2 with manifests/visibility (22 % of text)"
        ));
    }
}
