//! A tally as Prometheus metrics, in the text exposition format.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::outcome::OutcomeId;

use super::patterns::About;
use super::scan::Counts;
use super::tally::Tally;

/// What metrics are called.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Names {
    /// As Prometheus' conventions have it.
    #[default]
    Ours,
    /// As in the postmortem that this project grew from, for dashboards made after it.
    Postmortem,
}

/// What is exported.
#[derive(Clone, Copy, Debug)]
pub struct Metrics<'a> {
    /// The findings.
    pub tally: &'a Tally,
    /// What was read.
    pub counts: &'a Counts,
    /// What metrics are called.
    pub names: Names,
}

impl Metrics<'_> {
    /// The exposition. How many series there are is bounded by the tally.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        match self.names {
            Names::Ours => {
                self.failures(&mut text, About::Mtls, "meshproof_mtls_failures_total", "Failed mTLS calls that logs tell of: requests seen by clients, connections seen by servers, lines of components.");
                self.failures(
                    &mut text,
                    About::Other,
                    "meshproof_other_failures_total",
                    "Failed calls that logs tell of and that are not failures of mTLS.",
                );
                self.reading(&mut text);
            }
            Names::Postmortem => self.postmortem(&mut text),
        }
        text
    }

    fn failures(&self, text: &mut String, about: About, name: &str, help: &str) {
        let mut series: BTreeMap<String, u64> = BTreeMap::new();
        for row in self.tally.rows().into_iter().filter(|row| row.about == about) {
            let side = row
                .side
                .map_or_else(|| "none".to_owned(), |side| side.to_string());
            let labels = labels(&[
                ("outcome", row.outcome.as_str()),
                ("side", &side),
                ("view", row.view.as_str()),
                ("upstream", row.upstream.as_deref().unwrap_or_default()),
                ("namespace", row.namespace.as_deref().unwrap_or_default()),
            ]);
            *series.entry(labels).or_default() += row.count;
        }
        header(text, name, help);
        for (labels, count) in series {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "{name}{labels} {count}");
        }
    }

    fn reading(&self, text: &mut String) {
        let counts = self.counts;
        let plain = [
            (
                "meshproof_log_bytes_total",
                "Bytes of logs read, unpacked.",
                counts.bytes,
            ),
            ("meshproof_log_lines_total", "Lines of logs read.", counts.lines),
            (
                "meshproof_log_examined_lines_total",
                "Lines of logs that were looked at.",
                counts.examined,
            ),
            (
                "meshproof_log_harmless_lines_total",
                "Lines with a known text that is no failure.",
                counts.harmless,
            ),
            (
                "meshproof_log_broken_inputs_total",
                "Inputs that could not be read to their end.",
                counts.broken_inputs,
            ),
        ];
        for (name, help, value) in plain {
            header(text, name, help);
            let _ = writeln!(text, "{name} {value}");
        }
        let name = "meshproof_log_damaged_lines_total";
        header(
            text,
            name,
            "Examined lines that were cut, hold NUL bytes, or are not UTF-8.",
        );
        for (damage, value) in [
            ("cut", counts.cut),
            ("nul", counts.with_nul),
            ("not_utf8", counts.not_utf8),
        ] {
            let _ = writeln!(text, "{name}{{damage=\"{damage}\"}} {value}");
        }
    }

    fn postmortem(&self, text: &mut String) {
        let mut by_outcome: BTreeMap<OutcomeId, u64> = BTreeMap::new();
        for row in self
            .tally
            .rows()
            .into_iter()
            .filter(|row| row.about == About::Mtls)
        {
            *by_outcome.entry(row.outcome).or_default() += row.count;
        }
        header(text, "istio_mtls_error_total", "Total mTLS errors by type");
        for (outcome, count) in by_outcome {
            let _ = writeln!(
                text,
                "istio_mtls_error_total{} {count}",
                labels(&[("error_type", outcome.as_str())])
            );
        }
        header(text, "istio_log_lines_total", "Total log lines processed");
        let _ = writeln!(text, "istio_log_lines_total {}", self.counts.lines);
    }
}

fn header(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests;
