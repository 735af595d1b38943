//! The scenarios of a workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::diagnostic::Diagnostic;
use super::format::Expectation;
use super::load::{Scenario, load};
use crate::mesh::Capability;
use crate::snapshot::tree::Step;

/// Every scenario of a workspace, by name, and the mistakes of the files that are none.
#[derive(Debug)]
pub struct Catalogue {
    /// Those that loaded, in order of their names.
    pub scenarios: Vec<Scenario>,
    /// What is wrong with the others, in order of their files.
    pub mistakes: Vec<Diagnostic>,
}

/// One line of a list of scenarios.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What a tier must be able to do.
    pub needs: Vec<Capability>,
    /// Ids of the claims it bears on.
    pub claims: Vec<String>,
}

/// No workspace was found.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "no folder with `Cargo.toml` and `scenarios/schema.json` in {} or above it; run the command inside a checkout of meshproof",
    .0.display()
)]
pub struct NoWorkspace(pub PathBuf);

/// The folder with `Cargo.toml` and `scenarios/schema.json` that holds `folder`, so that commands work anywhere in a checkout.
///
/// # Errors
/// When there is none.
pub fn workspace_root(folder: &Path) -> Result<PathBuf, NoWorkspace> {
    let is_root =
        |path: &&Path| path.join("Cargo.toml").is_file() && path.join("scenarios/schema.json").is_file();
    let root = folder.ancestors().find(is_root);
    root.map(Path::to_owned)
        .ok_or_else(|| NoWorkspace(folder.to_owned()))
}

impl Catalogue {
    /// Loads `scenarios/*.yaml` below the workspace root.
    ///
    /// # Errors
    /// When the folder cannot be read. Mistakes in files are no error: the other scenarios can be used.
    pub fn load(root: &Path) -> std::io::Result<Self> {
        Self::of_folder(&folder(root), root)
    }

    fn of_folder(folder: &Path, root: &Path) -> std::io::Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "yaml" || it == "yml") {
                files.push(path);
            }
        }
        files.sort();
        let mut catalogue = Self {
            scenarios: Vec::new(),
            mistakes: Vec::new(),
        };
        for file in files {
            match load(&file, root) {
                Ok(scenario) => catalogue.scenarios.push(scenario),
                Err(mistakes) => catalogue.mistakes.extend(mistakes),
            }
        }
        catalogue.scenarios.sort_by(|a, b| a.name().cmp(b.name()));
        catalogue.find_namesakes();
        Ok(catalogue)
    }

    /// The scenario of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.name() == name)
    }

    /// The name most similar to one that is not there.
    #[must_use]
    pub fn similar(&self, name: &str) -> Option<String> {
        crate::reference::most_similar(name, self.scenarios.iter().map(Scenario::name))
    }

    /// What a list shows.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.scenarios.iter().map(Scenario::entry).collect()
    }

    /// Ids begin with the scenario's name, so two files (`.yaml` and `.yml`) must not share one.
    fn find_namesakes(&mut self) {
        let mut seen: BTreeMap<&str, &Scenario> = BTreeMap::new();
        let name: [Step; 2] = ["metadata".into(), "name".into()];
        for scenario in &self.scenarios {
            match seen.get(scenario.name()) {
                None => {
                    seen.insert(scenario.name(), scenario);
                }
                Some(first) => {
                    let message = format!("two scenarios are called `{}`", scenario.name());
                    let mistake = Diagnostic::at(&scenario.source, scenario.span_of(&name), message);
                    let help = format!("the other one is {}", first.source.name);
                    self.mistakes.push(mistake.label("used again here").help(help));
                }
            }
        }
    }
}

impl Scenario {
    /// What a list shows of it.
    #[must_use]
    pub fn entry(&self) -> Entry {
        let metadata = &self.file.metadata;
        Entry {
            name: metadata.name.clone(),
            title: metadata.title.clone(),
            tags: metadata.tags.clone(),
            needs: self.file.spec.needs.clone(),
            claims: metadata.claims.clone(),
        }
    }

    /// Whether it lies in the catalogue of its workspace, so that its name finds it.
    #[must_use]
    pub fn is_of_catalogue(&self) -> bool {
        let of = self.path.parent().map(Path::canonicalize);
        matches!((of, folder(&self.root).canonicalize()), (Some(Ok(of)), Ok(catalogue)) if of == catalogue)
    }

    /// Whether it expects any refusal or lost request; without one there is nothing to leave out, so it cannot be shown to notice.
    #[must_use]
    pub fn expects_refusals(&self) -> bool {
        let mut expectations = self.file.spec.phases.iter().flat_map(|phase| &phase.expect);
        expectations.any(Expectation::expects_failure)
    }
}

fn folder(root: &Path) -> PathBuf {
    root.join("scenarios")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        workspace_root(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn every_scenario_of_the_catalogue_loads() {
        let catalogue = Catalogue::load(&root()).unwrap();
        let mistakes: Vec<String> = catalogue.mistakes.iter().map(ToString::to_string).collect();
        assert!(mistakes.is_empty(), "{}", mistakes.join("\n\n"));
        assert!(catalogue.get("baseline-strict").is_some());
        assert_eq!(
            catalogue.similar("baseline-strikt").as_deref(),
            Some("baseline-strict")
        );
    }

    #[test]
    fn every_scenario_of_the_catalogue_names_its_schema_for_editors() {
        for scenario in Catalogue::load(&root()).unwrap().scenarios {
            let first = scenario.source.text.lines().next();
            assert_eq!(
                first,
                Some("# yaml-language-server: $schema=./schema.json"),
                "{}",
                scenario.source.name
            );
        }
    }

    #[test]
    fn two_scenarios_of_one_name_are_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let baseline = std::fs::read_to_string(root().join("scenarios/baseline-strict.yaml")).unwrap();
        for file in ["baseline-strict.yaml", "baseline-strict.yml"] {
            std::fs::write(folder.path().join(file), &baseline).unwrap();
        }
        let catalogue = Catalogue::of_folder(folder.path(), &root()).unwrap();
        let messages: Vec<&str> = catalogue.mistakes.iter().map(|m| m.message.as_str()).collect();
        assert_eq!(messages, ["two scenarios are called `baseline-strict`"]);
    }

    #[test]
    fn outside_of_a_checkout_the_command_says_where_to_go() {
        let folder = tempfile::tempdir().unwrap();
        let error = workspace_root(folder.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("run the command inside a checkout of meshproof")
        );
    }
}
