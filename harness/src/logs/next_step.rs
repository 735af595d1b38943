//! What to do about an outcome, read from `manifests/logs/next-steps.yaml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::outcome::OutcomeId;

/// The embedded file is invalid.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("manifests/logs/next-steps.yaml: {0}")]
pub struct NextStepsError(String);

/// What to do next where logs show `outcome`; `None` for deliveries.
///
/// # Errors
/// When the embedded file is invalid, which its test excludes.
pub fn next_step(outcome: OutcomeId) -> Result<Option<&'static str>, NextStepsError> {
    static STEPS: LazyLock<Result<BTreeMap<OutcomeId, String>, NextStepsError>> = LazyLock::new(|| {
        serde_saphyr::from_str(include_str!("../../../manifests/logs/next-steps.yaml"))
            .map_err(|error| NextStepsError(error.to_string()))
    });
    let steps = STEPS.as_ref().map_err(Clone::clone)?;
    Ok(steps.get(&outcome).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_next_step_and_no_delivery_has() {
        for outcome in OutcomeId::ALL {
            let step = next_step(outcome).unwrap();
            assert_eq!(step.is_some(), !outcome.is_delivered(), "{outcome}");
        }
    }
}
