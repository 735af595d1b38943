//! Whether what a matrix names is there, and what it multiplies out to.

use std::sync::Arc;

use jiff::civil::Date;
use semver::Version;

use super::exclusion::{Exclusion, short};
use super::format::{self, MatrixFile, Platform, Runners};
use super::pairing::{Unsupported, pairings};
use super::{Cell, Matrix, Row};
use crate::istio::ReleaseTable;
use crate::mesh::Tier;
use crate::reference::most_similar;
use crate::scenario::verdict::ReleaseOverrides;
use crate::scenario::{Catalogue, Diagnostic, Scenario, SourceText};
use crate::snapshot::tree::{Node, Step};

pub(super) fn check(
    file: MatrixFile,
    tree: &Node,
    source: &Arc<SourceText>,
    catalogue: &Catalogue,
    releases: &ReleaseTable,
    today: Date,
) -> Result<Matrix, Vec<Diagnostic>> {
    let mut checker = Checker {
        tree,
        source,
        catalogue,
        releases,
        mistakes: Vec::new(),
    };
    let mut rows: Vec<Row> = Vec::new();
    for (index, row) in file.spec.rows.into_iter().enumerate() {
        let place = Place::new("rows", index);
        if rows.iter().any(|it| it.name == row.name) {
            let message = format!("two rows are called `{}`", row.name);
            checker.mistake(place.key("name"), message, "used again here");
        }
        rows.push(checker.row(row, &file.spec.runners, &place));
    }
    let mut exclusions = Vec::new();
    for (index, written) in file.spec.exclude.into_iter().enumerate() {
        let place = Place::new("exclude", index);
        if let Some(exclusion) = checker.exclusion(written, &place, &mut rows, today) {
            exclusions.push(exclusion);
        }
    }
    if checker.mistakes.is_empty() {
        return Ok(Matrix { rows, exclusions });
    }
    checker
        .mistakes
        .sort_by_key(|mistake| mistake.span.as_ref().map(|span| span.start));
    Err(checker.mistakes)
}

/// An entry of a list of the spec.
struct Place {
    list: &'static str,
    index: usize,
}

impl Place {
    const fn new(list: &'static str, index: usize) -> Self {
        Self { list, index }
    }

    fn whole(&self) -> Vec<Step> {
        vec!["spec".into(), self.list.into(), self.index.into()]
    }

    fn key(&self, key: &str) -> Vec<Step> {
        let mut path = self.whole();
        path.push(key.into());
        path
    }

    fn entry(&self, key: &str, index: usize) -> Vec<Step> {
        let mut path = self.key(key);
        path.push(index.into());
        path
    }
}

struct Checker<'a> {
    tree: &'a Node,
    source: &'a Arc<SourceText>,
    catalogue: &'a Catalogue,
    releases: &'a ReleaseTable,
    mistakes: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn row(&mut self, row: format::Row, runners: &Runners, place: &Place) -> Row {
        let istio = self.releases_of(&row.istio, place, "istio");
        let client = self.releases_of(&row.client, place, "client");
        let server = self.releases_of(&row.server, place, "server");
        if row.istio.is_empty() && !(row.client.is_empty() && row.server.is_empty()) {
            let message = format!("the row `{}` names sidecars and no control plane", row.name);
            self.mistake(
                place.whole(),
                message,
                "add `istio`, so that pairings can be judged",
            );
        }
        let (pairs, unsupported) = pairings(&istio, &client, &server);
        if pairs.is_empty() {
            let message = format!("no pairing of the row `{}` is one that Istio supports", row.name);
            let why = unsupported
                .first()
                .map(|it| it.reason.clone())
                .unwrap_or_default();
            self.mistake(place.whole(), message, why);
        }
        if matches!(row.tier, Tier::Replay | Tier::Cluster) {
            let message = format!("the tier {} is no part of a matrix", row.tier);
            self.mistake(
                place.key("tier"),
                message,
                "needs a folder or a cluster of somebody's",
            );
        }
        let kubernetes = self.kubernetes(&row, place);
        let scenarios: Vec<String> = self.selected(&row, place);
        let mut platforms = row.platforms;
        platforms.sort_unstable();
        platforms.dedup();
        if platforms.is_empty() {
            platforms.push(Platform::default());
        }
        let (settings, unknown_to_kubernetes) = self.on_kubernetes(pairs, &kubernetes);
        let mut cells = Vec::new();
        for platform in &platforms {
            for (kubernetes, releases) in &settings {
                cells.extend(scenarios.iter().map(|scenario| Cell {
                    platform: *platform,
                    kubernetes: kubernetes.clone(),
                    releases: releases.clone(),
                    scenario: scenario.clone(),
                }));
            }
        }
        let runner = |platform| match platform {
            Platform::Linux => runners.linux.clone(),
            Platform::Macos => runners.macos.clone(),
        };
        Row {
            name: row.name,
            description: row.description,
            tier: row.tier,
            runners: platforms.into_iter().map(|it| (it, runner(it))).collect(),
            shards: row.shards.unwrap_or(1),
            cells,
            unsupported: unsupported.into_iter().chain(unknown_to_kubernetes).collect(),
        }
    }

    /// The pairings on each Kubernetes that their control plane supports.
    fn on_kubernetes(
        &self,
        pairs: Vec<ReleaseOverrides>,
        kubernetes: &[Version],
    ) -> (Vec<(Option<Version>, ReleaseOverrides)>, Vec<Unsupported>) {
        if kubernetes.is_empty() {
            return (pairs.into_iter().map(|pair| (None, pair)).collect(), Vec::new());
        }
        let (mut settings, mut unsupported) = (Vec::new(), Vec::new());
        for minor in kubernetes {
            for releases in &pairs {
                let istio = releases.istio.as_ref();
                let known = istio.and_then(|istio| self.releases.minor_of(istio));
                if known.is_none_or(|istio| istio.supports(minor)) {
                    settings.push((Some(minor.clone()), releases.clone()));
                } else if let Some(istio) = istio {
                    let reason = format!("Istio {istio} does not support Kubernetes {}", short(minor));
                    unsupported.push(Unsupported {
                        releases: releases.clone(),
                        reason,
                    });
                }
            }
        }
        (settings, unsupported)
    }

    fn releases_of(&mut self, written: &[String], place: &Place, key: &str) -> Vec<Version> {
        let mut found = Vec::new();
        for (index, text) in written.iter().enumerate() {
            found.extend(self.release(text, place.entry(key, index)));
        }
        found
    }

    fn release(&mut self, text: &str, path: Vec<Step>) -> Option<Version> {
        let parsed = Version::parse(text).ok();
        match parsed.filter(|it| self.releases.has(it)) {
            Some(release) => Some(release),
            None => {
                let nearest = Version::parse(text)
                    .ok()
                    .and_then(|it| self.releases.nearest(&it).cloned());
                let label = nearest.map_or_else(
                    || "a release is written as 1.31.1".to_owned(),
                    |it| format!("did you mean {it}?"),
                );
                self.mistake(path, format!("there is no release {text} of Istio"), label);
                None
            }
        }
    }

    fn kubernetes(&mut self, row: &format::Row, place: &Place) -> Vec<Version> {
        match (row.tier, row.kubernetes.is_empty()) {
            (Tier::Kind, true) => {
                let message = format!("the row `{}` runs on kind and names no Kubernetes", row.name);
                self.mistake(place.whole(), message, "`kubernetes` is missing");
            }
            (Tier::Kind, false) | (_, true) => {}
            (tier, false) => {
                let message = format!("the tier {tier} has no Kubernetes");
                self.mistake(place.key("kubernetes"), message, "remove it");
            }
        }
        let mut found = Vec::new();
        for (index, text) in row.kubernetes.iter().enumerate() {
            found.extend(self.node(text, place.entry("kubernetes", index)));
        }
        found
    }

    /// A minor release of Kubernetes for which there is a node image.
    fn node(&mut self, text: &str, path: Vec<Step>) -> Option<Version> {
        let minor = Version::parse(&format!("{text}.0")).ok();
        let same = |it: &Version| {
            minor
                .as_ref()
                .is_some_and(|minor| (minor.major, minor.minor) == (it.major, it.minor))
        };
        let known: Vec<String> = self
            .releases
            .nodes_for(&[])
            .map(|node| short(&node.kubernetes))
            .collect();
        if self.releases.nodes_for(&[]).any(|node| same(&node.kubernetes)) {
            return minor;
        }
        let message = format!("there is no node image of Kubernetes {text}");
        self.mistake(path, message, format!("known are {}", known.join(", ")));
        None
    }

    fn selected(&mut self, row: &format::Row, place: &Place) -> Vec<String> {
        for (index, name) in row.scenarios.iter().enumerate() {
            self.scenario(name, place.entry("scenarios", index));
        }
        for (index, tag) in row.tags.iter().enumerate() {
            let tags = self.catalogue.scenarios.iter().flat_map(tags_of);
            if !self
                .catalogue
                .scenarios
                .iter()
                .flat_map(tags_of)
                .any(|it| it == tag)
            {
                let label = most_similar(tag, tags.map(String::as_str))
                    .map_or_else(|| "not known".to_owned(), |it| format!("did you mean `{it}`?"));
                let message = format!("no scenario has the tag `{tag}`");
                self.mistake(place.entry("tags", index), message, label);
            }
        }
        let all = row.scenarios.is_empty() && row.tags.is_empty();
        let chosen = self.catalogue.scenarios.iter().filter(|scenario| {
            all || row.scenarios.iter().any(|name| name == scenario.name())
                || tags_of(scenario).iter().any(|tag| row.tags.contains(tag))
        });
        chosen.map(|scenario| scenario.name().to_owned()).collect()
    }

    fn scenario(&mut self, name: &str, path: Vec<Step>) {
        if self.catalogue.get(name).is_none() {
            let label = self
                .catalogue
                .similar(name)
                .map_or_else(|| "not known".to_owned(), |it| format!("did you mean `{it}`?"));
            self.mistake(path, format!("there is no scenario `{name}`"), label);
        }
    }

    /// An exclusion, with its cells taken out of the rows.
    fn exclusion(
        &mut self,
        written: format::Exclusion,
        place: &Place,
        rows: &mut [Row],
        today: Date,
    ) -> Option<Exclusion> {
        let before = self.mistakes.len();
        let mut release = |text: &Option<String>, key: &str| {
            let text = text.as_deref()?;
            self.release(text, place.key(key))
        };
        let istio = release(&written.istio, "istio");
        let client = release(&written.client, "client");
        let server = release(&written.server, "server");
        let kubernetes = written
            .kubernetes
            .as_deref()
            .and_then(|text| self.node(text, place.key("kubernetes")));
        if let Some(name) = &written.scenario {
            self.scenario(name, place.key("scenario"));
        }
        if written.reason.trim().is_empty() {
            self.mistake(
                place.key("reason"),
                "an exclusion has a reason".to_owned(),
                "say why",
            );
        }
        let until = match written.until.parse::<Date>() {
            Ok(until) if until < today => {
                let message = format!("this exclusion ended on {until}");
                let label = "remove the entry, or say until when and why it must stay";
                self.mistake(place.key("until"), message, label);
                None
            }
            Ok(until) => Some(until),
            Err(_) => {
                let message = format!("`{}` is no day", written.until);
                self.mistake(place.key("until"), message, "a day is written as 2027-01-31");
                None
            }
        };
        if self.mistakes.len() > before {
            return None;
        }
        let mut exclusion = Exclusion {
            row: written.row,
            platform: written.platform,
            istio,
            client,
            server,
            kubernetes,
            scenario: written.scenario,
            reason: written.reason,
            until: until?,
            cells: 0,
        };
        if exclusion.coordinates().is_empty() {
            let message = "this exclusion says of no cell that it is left out".to_owned();
            self.mistake(
                place.whole(),
                message,
                "name a row, a scenario, a release, or a platform",
            );
            return None;
        }
        for row in rows {
            let all = row.cells.len();
            let name = row.name.clone();
            row.cells.retain(|cell| !exclusion.fits(&name, cell));
            exclusion.cells += all - row.cells.len();
        }
        if exclusion.cells == 0 {
            let message = format!("no cell fits this exclusion ({})", exclusion.coordinates());
            self.mistake(place.whole(), message, "nothing needs it; remove it");
        }
        Some(exclusion)
    }

    fn mistake(&mut self, path: Vec<Step>, message: impl Into<String>, label: impl Into<String>) {
        let span = self.tree.span_near(&path);
        self.mistakes
            .push(Diagnostic::at(self.source, span, message).label(label));
    }
}

fn tags_of(scenario: &Scenario) -> &[String] {
    &scenario.file.metadata.tags
}
