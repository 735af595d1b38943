//! Which scenario of the catalogue shows an outcome.

use std::collections::BTreeMap;

use meshproof::outcome::OutcomeId;
use meshproof::scenario::{Catalogue, workspace_root};

/// By outcome, the first scenario that expects it. Empty outside a checkout: then nothing can be reproduced.
pub(super) fn scenarios() -> BTreeMap<OutcomeId, String> {
    let catalogue = std::env::current_dir()
        .ok()
        .and_then(|folder| workspace_root(&folder).ok())
        .and_then(|root| Catalogue::load(&root).ok());
    let mut found = BTreeMap::new();
    for scenario in catalogue.iter().flat_map(|it| &it.scenarios) {
        for outcome in scenario.file.spec.phases.iter().flat_map(|phase| &phase.expect) {
            let id = outcome.outcome;
            if !id.is_delivered() && id != OutcomeId::Unknown {
                found.entry(id).or_insert_with(|| scenario.name().to_owned());
            }
        }
    }
    found
}
