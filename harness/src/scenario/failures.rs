//! How many requests of a load may fail.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many requests may fail: a number, `some` for at least one, or `{min: 1, max: 20}`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Failures {
    /// Exactly this many.
    Exactly(u64),
    /// At least one.
    Some(SomeFailures),
    /// Between two bounds.
    Between(FailureBounds),
}

/// The word for at least one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SomeFailures {
    /// At least one.
    Some,
}

/// Bounds, both included.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FailureBounds {
    /// The least. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// The most. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

impl Failures {
    /// Whether this many failures are as expected.
    #[must_use]
    pub const fn holds_for(self, failed: u64) -> bool {
        self.least() <= failed && failed <= self.most()
    }

    /// The fewest failures expected.
    #[must_use]
    pub const fn least(self) -> u64 {
        match self {
            Self::Exactly(count) => count,
            Self::Some(SomeFailures::Some) => 1,
            Self::Between(FailureBounds { min: Some(min), .. }) => min,
            Self::Between(FailureBounds { min: None, .. }) => 0,
        }
    }

    /// The most failures expected.
    #[must_use]
    pub const fn most(self) -> u64 {
        match self {
            Self::Exactly(count) => count,
            Self::Some(SomeFailures::Some) => u64::MAX,
            Self::Between(FailureBounds { max: Some(max), .. }) => max,
            Self::Between(FailureBounds { max: None, .. }) => u64::MAX,
        }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(0) => f.write_str("none"),
            Self::Exactly(count) => write!(f, "{count}"),
            Self::Some(SomeFailures::Some) => f.write_str("some"),
            Self::Between(_) if self.most() == u64::MAX => write!(f, "at least {}", self.least()),
            Self::Between(_) => write!(f, "{} to {}", self.least(), self.most()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_expected() {
        for (written, text, held, not) in [
            ("0", "none", vec![0], vec![1]),
            ("3", "3", vec![3], vec![2, 4]),
            ("some", "some", vec![1, 900], vec![0]),
            ("{min: 1, max: 20}", "1 to 20", vec![1, 20], vec![0, 21]),
            ("{min: 2}", "at least 2", vec![2, 900], vec![1]),
            ("{max: 2}", "0 to 2", vec![0, 2], vec![3]),
        ] {
            let failures: Failures = serde_saphyr::from_str(written).unwrap();
            assert_eq!(failures.to_string(), text);
            assert!(
                held.into_iter().all(|count| failures.holds_for(count)),
                "{written}"
            );
            assert!(
                !not.into_iter().any(|count| failures.holds_for(count)),
                "{written}"
            );
        }
    }
}
