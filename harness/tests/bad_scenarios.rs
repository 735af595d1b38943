//! Every mistake a scenario file can have, and what its author is told.
//!
//! One fixture per mistake in `bad_scenarios/`, one snapshot per message in `snapshots/`.

use std::fs;
use std::path::Path;

use meshproof::scenario::load;

#[test]
fn every_mistake_is_explained_where_it_stands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let fixtures = root.join("harness/tests/bad_scenarios");
    let mut files: Vec<_> = fs::read_dir(fixtures)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let mistakes = load(&file, root)
            .err()
            .unwrap_or_else(|| panic!("{name} loads without a mistake"));
        let messages: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(name, messages.join("\n\n"));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mistakes = load(&root.join("tests/absent.yaml"), root).unwrap_err();
    let message = mistakes[0].to_string();
    assert!(
        message.starts_with("error: cannot read the scenario: "),
        "{message}"
    );
    assert!(message.contains("tests/absent.yaml"), "{message}");
}

#[test]
fn mistakes_have_a_stable_form_for_machines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = root.join("harness/tests/bad_scenarios/unknown-key.yaml");
    let mistakes = serde_json::to_value(load(&file, root).unwrap_err()).unwrap();
    let expected = serde_json::json!([{
        "file": "harness/tests/bad_scenarios/unknown-key.yaml",
        "line": 19,
        "column": 11,
        "message": "unknown key `outcom` in an expectation",
        "label": "did you mean `outcome`?",
        "help": ["an expectation takes `alpn`, `call`, `candidates`, `failed`, `from`, `outcome`, `payload`, `side`, `subset`, `to`, `when`"],
    }]);
    assert_eq!(mistakes, expected);
}

#[test]
fn windows_line_ends_change_no_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("harness/tests/bad_scenarios/several-at-once.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let places = |text: &str| {
        let file = folder.path().join("several-at-once.yaml");
        fs::write(&file, text).unwrap();
        let mistakes = load(&file, root).unwrap_err();
        mistakes
            .iter()
            .map(|m| (m.position(), m.message.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(places(&text.replace('\n', "\r\n")), places(&text));
}
