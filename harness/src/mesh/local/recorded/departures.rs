//! What our control plane deliberately says otherwise than istiod, and why: how the table is read.

mod table;

use std::collections::BTreeSet;

use serde_json::Value;

use table::DEPARTURES;

/// One of the two documents.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Side {
    Istiod,
    Ours,
}

/// A place where both differ on purpose. What each side says there is taken away before they are compared.
pub(super) struct Departure {
    /// Words from the root of the document, each a key, `*` (any key or element), `**` (any depth), `name=X` (the
    /// element of that name), `name^X` (elements whose name begins so), `^X` (keys, or texts of a list, that begin
    /// so), or `$X` (keys that end so).
    at: &'static str,
    istiod: Says,
    ours: Says,
    /// The state in which it counts; `None`: in all.
    only: Option<&'static str>,
    why: &'static str,
}

/// What is taken away.
#[derive(Clone, Copy)]
pub(super) enum Says {
    Nothing,
    Anything,
    /// This JSON; any other value stays, and is compared.
    Only(&'static str),
}

/// istiod says it, we do not.
const fn lacks(at: &'static str, istiod: Says, why: &'static str) -> Departure {
    differs(at, istiod, Says::Nothing, why)
}

/// We say it, istiod does not.
const fn adds(at: &'static str, ours: Says, why: &'static str) -> Departure {
    differs(at, Says::Nothing, ours, why)
}

/// Both say something, but not the same.
const fn differs(at: &'static str, istiod: Says, ours: Says, why: &'static str) -> Departure {
    Departure {
        at,
        istiod,
        ours,
        only: None,
        why,
    }
}

impl Departure {
    const fn in_state(self, state: &'static str) -> Self {
        Self {
            only: Some(state),
            ..self
        }
    }
}

/// A departure by its number, and the side on which it was needed.
pub(super) type Used = (usize, Side);

/// Takes the departures away from one side of a state. Returns those that were there.
pub(super) fn apply(state: &str, side: Side, document: &mut Value) -> BTreeSet<Used> {
    let counts = |departure: &Departure| departure.only.is_none_or(|only| only == state);
    let mut used = BTreeSet::new();
    for (number, departure) in DEPARTURES.iter().enumerate().filter(|(_, it)| counts(it)) {
        let words: Vec<&str> = departure.at.split(' ').collect();
        if remove(document, &words, departure.says(side)) {
            used.insert((number, side));
        }
    }
    used
}

/// The departures of which a side was never there.
pub(super) fn unused(used: &BTreeSet<Used>) -> Vec<String> {
    let sides = [Side::Istiod, Side::Ours];
    let all = DEPARTURES
        .iter()
        .enumerate()
        .flat_map(|(number, departure)| sides.map(|side| (number, departure, side)));
    all.filter(|(number, departure, side)| {
        !matches!(departure.says(*side), Says::Nothing) && !used.contains(&(*number, *side))
    })
    .map(|(_, departure, side)| format!("{side:?}: {} ({})", departure.at, departure.why))
    .collect()
}

impl Departure {
    fn says(&self, side: Side) -> Says {
        match side {
            Side::Istiod => self.istiod,
            Side::Ours => self.ours,
        }
    }
}

/// Removes what is at `words`, and every container that is left empty by it. Returns whether anything was.
fn remove(value: &mut Value, words: &[&str], says: Says) -> bool {
    let Some((word, rest)) = words.split_first() else {
        return false;
    };
    if *word == "**" {
        let here = remove(value, rest, says);
        let below = remove_each(value, |_, _| true, |child| remove(child, words, says));
        return here || below;
    }
    let found = |key: &str, child: &Value| is_meant(word, key, child);
    if rest.is_empty() {
        let leaf = |key: &str, child: &Value| found(key, child) && says.is(child);
        return take(value, leaf);
    }
    remove_each(value, found, |child| remove(child, rest, says))
}

impl Says {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Nothing => false,
            Self::Anything => true,
            Self::Only(json) => serde_json::from_str::<Value>(json).unwrap() == *value,
        }
    }
}

fn is_meant(word: &str, key: &str, child: &Value) -> bool {
    let begins = |text: &Value, start: &str| text.as_str().is_some_and(|text| text.starts_with(start));
    if let Some(name) = word.strip_prefix("name=") {
        child["name"] == name
    } else if let Some(start) = word.strip_prefix("name^") {
        begins(&child["name"], start)
    } else if let Some(start) = word.strip_prefix('^') {
        key.starts_with(start) || (key.is_empty() && begins(child, start))
    } else if let Some(end) = word.strip_prefix('$') {
        key.ends_with(end)
    } else {
        word == "*" || word == key
    }
}

/// Removes the children that `meant` picks.
fn take(value: &mut Value, meant: impl Fn(&str, &Value) -> bool) -> bool {
    let size = |value: &Value| {
        value.as_object().map_or(0, serde_json::Map::len) + value.as_array().map_or(0, Vec::len)
    };
    let before = size(value);
    match value {
        Value::Object(fields) => fields.retain(|key, child| !meant(key, child)),
        Value::Array(elements) => elements.retain(|child| !meant("", child)),
        _ => {}
    }
    size(value) < before
}

/// Descends into the children that `meant` picks, and removes those that `removal` leaves empty.
fn remove_each(
    value: &mut Value,
    meant: impl Fn(&str, &Value) -> bool,
    mut removal: impl FnMut(&mut Value) -> bool,
) -> bool {
    let mut removed = false;
    let mut emptied = |key: &str, child: &mut Value| {
        let here = meant(key, child) && removal(child);
        removed |= here;
        here && (child.as_object().is_some_and(serde_json::Map::is_empty)
            || child.as_array().is_some_and(Vec::is_empty))
    };
    match value {
        Value::Object(fields) => fields.retain(|key, child| !emptied(key, child)),
        Value::Array(elements) => elements.retain_mut(|child| !emptied("", child)),
        _ => {}
    }
    removed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A departure from `document` by `at`, and what is left; `None` where nothing was taken.
    fn left(document: &Value, at: &str, says: Says) -> Option<Value> {
        let mut document = document.clone();
        let words: Vec<&str> = at.split(' ').collect();
        remove(&mut document, &words, says).then_some(document)
    }

    #[test]
    fn a_departure_takes_away_what_it_names_and_nothing_else() {
        let document = json!({
            "a": {"filters": [{"name": "istio.stats", "x": 1}, {"name": "router", "x": 2}]},
            "b": {"alpn": ["istio-peer-exchange", "istio"], "deep": {"only": 1}},
        });
        let cases = [
            (
                "** filters name=router x",
                Says::Only("2"),
                Some(json!({
                    "a": {"filters": [{"name": "istio.stats", "x": 1}, {"name": "router"}]},
                    "b": {"alpn": ["istio-peer-exchange", "istio"], "deep": {"only": 1}},
                })),
            ),
            (
                "* filters name^istio.",
                Says::Anything,
                Some(json!({
                    "a": {"filters": [{"name": "router", "x": 2}]},
                    "b": {"alpn": ["istio-peer-exchange", "istio"], "deep": {"only": 1}},
                })),
            ),
            (
                "b alpn ^istio-",
                Says::Anything,
                Some(json!({
                    "a": {"filters": [{"name": "istio.stats", "x": 1}, {"name": "router", "x": 2}]},
                    "b": {"alpn": ["istio"], "deep": {"only": 1}},
                })),
            ),
            // What is left empty goes too.
            (
                "$b deep only",
                Says::Only("1"),
                Some(json!({
                    "a": {"filters": [{"name": "istio.stats", "x": 1}, {"name": "router", "x": 2}]},
                    "b": {"alpn": ["istio-peer-exchange", "istio"]},
                })),
            ),
            // Another value, or no such place: nothing.
            ("** filters name=router x", Says::Only("3"), None),
            ("b filters name=router x", Says::Anything, None),
        ];
        for (at, says, expected) in cases {
            assert_eq!(left(&document, at, says), expected, "{at}");
        }
    }

    #[test]
    fn a_departure_of_which_one_side_was_never_there_is_unused() {
        let all: BTreeSet<Used> = (0..DEPARTURES.len())
            .flat_map(|number| [(number, Side::Istiod), (number, Side::Ours)])
            .collect();
        assert_eq!(unused(&all), Vec::<String>::new());
        let both = DEPARTURES
            .iter()
            .position(|it| it.at == "client listeners * name")
            .unwrap();
        let mut one = all;
        one.remove(&(both, Side::Ours));
        let named = unused(&one);
        assert_eq!(named.len(), 1, "{named:?}");
        assert!(
            named[0].starts_with("Ours: client listeners * name ("),
            "{named:?}"
        );
    }
}
