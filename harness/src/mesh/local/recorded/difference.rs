//! Differences between two documents, one line each.

use serde_json::Value;

/// Every place where two documents differ.
pub(super) fn between(theirs: &Value, ours: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", Some(theirs), Some(ours), &mut found);
    found
}

fn walk(path: &str, theirs: Option<&Value>, ours: Option<&Value>, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for (key, value) in a {
                walk(&format!("{path} {key}"), Some(value), b.get(key), found);
            }
            for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                walk(&format!("{path} {key}"), None, Some(value), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                walk(&format!("{path} {index}"), Some(x), Some(y), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: istiod {}, ours {}", shown(a), shown(b))),
    }
}

fn shown(value: Option<&Value>) -> String {
    const LONGEST: usize = 400;
    let text = value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_difference_is_found_and_shown_with_its_place() {
        let theirs = json!({"same": 1, "value": "a", "gone": {}, "list": [1, 2], "order": ["a", "b"]});
        let ours = json!({"same": 1, "value": "b", "more": null, "list": [1], "order": ["b", "a"]});
        assert_eq!(
            between(&theirs, &ours),
            [
                " gone: istiod {}, ours nothing",
                " list: istiod [1,2], ours [1]",
                " order 0: istiod \"a\", ours \"b\"",
                " order 1: istiod \"b\", ours \"a\"",
                " value: istiod \"a\", ours \"b\"",
                " more: istiod nothing, ours null",
            ]
        );
        assert_eq!(between(&theirs, &theirs), Vec::<String>::new());
    }
}
