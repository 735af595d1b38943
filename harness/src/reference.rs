//! How people name a workload: `name` where that is unique, else `namespace/name`.

use strsim::jaro_winkler;

use crate::call::WorkloadName;

/// Why a written name leads to no single workload.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing has that name.
    #[error("no workload is called `{written}`")]
    Unknown {
        /// As written.
        written: String,
        /// The most similar name there is.
        similar: Option<String>,
    },
    /// Several namespaces have a workload of that name.
    #[error("`{written}` is the name of {} workloads", candidates.len())]
    Ambiguous {
        /// As written.
        written: String,
        /// All of them, in order.
        candidates: Vec<WorkloadName>,
    },
}

/// Finds the workload that `written` (`name` or `namespace/name`) means among `known`.
///
/// # Errors
/// When no workload, or more than one, has that name.
pub fn resolve_workload<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a WorkloadName>,
) -> Result<WorkloadName, ReferenceError> {
    let known: Vec<&WorkloadName> = known.into_iter().collect();
    let mut found: Vec<WorkloadName> = match written.split_once('/') {
        Some((namespace, name)) => {
            let wanted = WorkloadName::new(namespace, name);
            known
                .iter()
                .filter(|w| ***w == wanted)
                .map(|w| (*w).clone())
                .collect()
        }
        None => known
            .iter()
            .filter(|w| w.name == written)
            .map(|w| (*w).clone())
            .collect(),
    };
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => {
            let names = known.iter().flat_map(|w| {
                let qualified = written.contains('/').then(|| w.to_string());
                [qualified.unwrap_or_else(|| w.name.clone())]
            });
            Err(ReferenceError::Unknown {
                written: written.to_owned(),
                similar: most_similar(written, names),
            })
        }
        _ => {
            found.sort();
            Err(ReferenceError::Ambiguous {
                written: written.to_owned(),
                candidates: found,
            })
        }
    }
}

/// The word of `known` that `written` was probably meant to be, if any is close enough.
pub(crate) fn most_similar<S: AsRef<str>>(
    written: &str,
    known: impl IntoIterator<Item = S>,
) -> Option<String> {
    // 0.75 accepts one or two slips in a word of five letters and refuses words that merely share a prefix.
    const CLOSE_ENOUGH: f64 = 0.75;
    known
        .into_iter()
        .map(|word| {
            (
                jaro_winkler(&written.to_lowercase(), &word.as_ref().to_lowercase()),
                word.as_ref().to_owned(),
            )
        })
        .filter(|(likeness, _)| *likeness >= CLOSE_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workloads() -> Vec<WorkloadName> {
        ["payments/checkout", "payments/payment", "shop/checkout"]
            .iter()
            .filter_map(|name| name.split_once('/'))
            .map(|(namespace, name)| WorkloadName::new(namespace, name))
            .collect()
    }

    #[test]
    fn a_bare_name_is_enough_where_it_is_unique() {
        assert_eq!(
            resolve_workload("payment", &workloads()),
            Ok(WorkloadName::new("payments", "payment"))
        );
        assert_eq!(
            resolve_workload("shop/checkout", &workloads()),
            Ok(WorkloadName::new("shop", "checkout"))
        );
    }

    #[test]
    fn a_bare_name_that_two_namespaces_have_is_refused_with_both() {
        let error = resolve_workload("checkout", &workloads()).unwrap_err();
        assert!(matches!(error, ReferenceError::Ambiguous { candidates, .. } if candidates.len() == 2));
    }

    #[test]
    fn a_slip_is_answered_with_the_nearest_name_in_the_form_it_was_written() {
        let similar = |written: &str| match resolve_workload(written, &workloads()).unwrap_err() {
            ReferenceError::Unknown { similar, .. } => similar,
            ReferenceError::Ambiguous { .. } => None,
        };
        assert_eq!(similar("chekout").as_deref(), Some("checkout"));
        assert_eq!(similar("shop/chekout").as_deref(), Some("shop/checkout"));
        assert_eq!(similar("database"), None);
    }
}
