//! Failed calls that no proxy tells of, read from `manifests/logs/unseen.yaml`.

use std::sync::LazyLock;

use serde::Deserialize;

/// The embedded file is invalid.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("manifests/logs/unseen.yaml: {0}")]
pub struct UnseenError(String);

/// A call, and why no proxy tells of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unseen {
    /// Its id in reports.
    pub(super) call: String,
    pub(super) why: String,
}

impl Unseen {
    pub(super) fn embedded() -> Result<&'static [Self], UnseenError> {
        static UNSEEN: LazyLock<Result<Vec<Unseen>, UnseenError>> = LazyLock::new(|| {
            serde_saphyr::from_str(include_str!("../../../manifests/logs/unseen.yaml"))
                .map_err(|error| UnseenError(error.to_string()))
        });
        match &*UNSEEN {
            Ok(all) => Ok(all),
            Err(error) => Err(error.clone()),
        }
    }

    pub(super) fn is_of(&self, scenario: &str) -> bool {
        self.call
            .strip_prefix(scenario)
            .is_some_and(|rest| rest.starts_with("::"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unseen_call_is_one_of_a_scenario() {
        let all = Unseen::embedded().unwrap();
        assert!(!all.is_empty());
        for unseen in all {
            assert!(!unseen.why.is_empty());
            let scenario = unseen.call.split("::").next().unwrap();
            assert!(unseen.is_of(scenario), "{}", unseen.call);
            assert!(!unseen.is_of(&scenario[1..]), "{}", unseen.call);
        }
    }
}
