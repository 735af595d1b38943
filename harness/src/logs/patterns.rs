//! The patterns, read from `manifests/logs/patterns.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::{RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};

use crate::outcome::{OutcomeId, Side};

use super::finding::View;

/// All patterns in the order of their precedence, and what most lines are rejected by.
pub struct Patterns {
    gate: AhoCorasick,
    set: RegexSet,
    all: Vec<Pattern>,
}

/// A text and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// Its id, kebab-case.
    pub id: String,
    /// Who writes it.
    pub layer: Layer,
    /// The regular expression.
    pub expression: String,
    /// What it means, for people.
    pub meaning: String,
    /// What it says.
    pub says: Statement,
    /// What it says in a line of the client's end.
    pub on_client: Statement,
    /// What it says in a line of the server's end.
    pub on_server: Statement,
    /// What it says in a line with a requested server name, whatever the end.
    pub with_server_name: Option<Statement>,
    /// Whether the failure is one of mTLS.
    pub about: About,
    /// First release that has it; absent where all have.
    pub since: Option<String>,
    /// Last release that has it.
    pub until: Option<String>,
    /// Whether a mesh shows it, by the end that does.
    pub visibility: BTreeMap<String, Shown>,
    /// Where the text was read or seen.
    pub source: String,
    /// Lines, or their telling part.
    pub samples: Vec<String>,
}

/// What a text says.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// A failure: decided where there is an outcome, else one of the candidates (none: it could be any).
    Failure {
        /// The outcome, where the text decides.
        outcome: Option<OutcomeId>,
        /// What it could be, where it does not, in the order of the vocabulary.
        candidates: Vec<OutcomeId>,
        /// The end that refused.
        by: Option<By>,
    },
    /// No failure by itself.
    Nothing(Silence),
}

/// Who refused, from where the line was written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The calling end.
    Client,
    /// The called end.
    Server,
    /// The end that wrote the line.
    Observer,
    /// The other end.
    Peer,
}

/// Why a text is no failure.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Silence {
    /// Healthy proxies write it.
    Healthy,
    /// It follows a failure that another text names.
    Aftermath,
    /// It helps to understand others.
    Context,
}

/// Who writes a text.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Envoy: its access logs and its own log.
    Envoy,
    /// The agent beside it.
    PilotAgent,
    /// The control plane.
    Istiod,
    /// The node proxy of ambient.
    Ztunnel,
    /// Events of the cluster.
    Kubernetes,
    /// An application that quotes its proxy.
    Application,
}

/// Whether a failure is one of mTLS.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// It is.
    #[default]
    Mtls,
    /// It is another one: policy, TCP, the application.
    Other,
}

/// Whether a mesh shows a text.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// As Istio is installed, once access logging is on.
    Default,
    /// In the connection debug log.
    Debug,
    /// In a listener access log that Istio does not configure.
    Custom,
    /// In the caller's own log.
    Application,
    /// In an event.
    Event,
}

/// What is wrong with a file of patterns.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternsError {
    /// It is not YAML of the right shape.
    #[error("{0}")]
    Yaml(String),
    /// A pattern is wrong in itself.
    #[error("pattern `{id}`: {what}")]
    Pattern {
        /// Its id.
        id: String,
        /// What is wrong.
        what: String,
    },
    /// The gate or all patterns together cannot be compiled.
    #[error("the patterns cannot be compiled: {0}")]
    Compile(String),
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|it| &it.id)).finish()
    }
}

impl Patterns {
    /// The patterns that are built into meshproof.
    ///
    /// # Errors
    /// When the embedded file is invalid, which its test excludes.
    pub fn embedded() -> Result<&'static Self, PatternsError> {
        static PATTERNS: LazyLock<Result<Patterns, PatternsError>> =
            LazyLock::new(|| Patterns::parse(include_str!("../../../manifests/logs/patterns.yaml")));
        PATTERNS.as_ref().map_err(Clone::clone)
    }

    /// Reads and validates patterns.
    fn parse(yaml: &str) -> Result<Self, PatternsError> {
        let file: PatternsFile =
            serde_saphyr::from_str(yaml).map_err(|error| PatternsError::Yaml(error.to_string()))?;
        let compile = |error: &dyn std::error::Error| PatternsError::Compile(error.to_string());
        let mut ids = BTreeSet::new();
        let mut all = Vec::new();
        for entry in file.patterns {
            let id = entry.id.clone();
            if !ids.insert(id.clone()) {
                return Err(PatternsError::Pattern {
                    id,
                    what: "stands twice".to_owned(),
                });
            }
            let pattern = entry
                .into_pattern(&file.candidates)
                .map_err(|what| PatternsError::Pattern { id, what })?;
            all.push(pattern);
        }
        // ASCII classes: logs are bytes, and Unicode classes make the automaton several times larger.
        let set = RegexSetBuilder::new(all.iter().map(|pattern| &pattern.expression))
            .unicode(false)
            .size_limit(64 << 20)
            .dfa_size_limit(16 << 20)
            .build()
            .map_err(|error| compile(&error))?;
        let gate = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(&file.gate)
            .map_err(|error| compile(&error))?;
        if file.gate.is_empty() || file.gate.iter().any(String::is_empty) {
            return Err(PatternsError::Compile(
                "the gate is empty, or a word of it is".to_owned(),
            ));
        }
        Ok(Self { gate, set, all })
    }

    /// Every pattern, the one that takes precedence first.
    #[must_use]
    pub fn all(&self) -> &[Pattern] {
        &self.all
    }

    /// The pattern of an id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Pattern> {
        self.all.iter().find(|pattern| pattern.id == id)
    }

    /// Where in `block` the next word stands without which no pattern matches.
    pub(super) fn next_suspect(&self, block: &[u8]) -> Option<usize> {
        self.gate.find(block).map(|found| found.start())
    }

    /// The pattern that names a line, from its telling part.
    pub(super) fn name(&self, telling: &[u8]) -> Option<&Pattern> {
        let first = self.set.matches(telling).into_iter().next()?;
        self.all.get(first)
    }
}

impl Pattern {
    /// What the text says in a line that `view` wrote.
    #[must_use]
    pub fn statement(&self, view: View, has_server_name: bool) -> &Statement {
        match (&self.with_server_name, view) {
            (Some(statement), _) if has_server_name => statement,
            (_, View::Client) => &self.on_client,
            (_, View::Server) => &self.on_server,
            (_, View::Component) => &self.says,
        }
    }
}

impl By {
    /// The side, where it is known which end wrote the line.
    pub(super) const fn side(self, view: View) -> Option<Side> {
        match (self, view) {
            (Self::Client, _) | (Self::Observer, View::Client) | (Self::Peer, View::Server) => {
                Some(Side::Client)
            }
            (Self::Server, _) | (Self::Observer, View::Server) | (Self::Peer, View::Client) => {
                Some(Side::Server)
            }
            (Self::Observer | Self::Peer, View::Component) => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternsFile {
    gate: Vec<String>,
    candidates: BTreeMap<String, Vec<OutcomeId>>,
    patterns: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    id: String,
    layer: Layer,
    pattern: String,
    meaning: String,
    says: Says,
    on_client: Option<Says>,
    on_server: Option<Says>,
    with_server_name: Option<Says>,
    #[serde(default)]
    about: About,
    since: Option<String>,
    until: Option<String>,
    visibility: BTreeMap<String, Shown>,
    source: String,
    samples: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Says {
    outcome: Option<OutcomeId>,
    candidates: Option<Candidates>,
    nothing: Option<Silence>,
    side: Option<By>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Candidates {
    Named(String),
    Listed(Vec<OutcomeId>),
}

/// Lists of candidates that several patterns share.
type Shared = BTreeMap<String, Vec<OutcomeId>>;

impl Entry {
    fn into_pattern(self, shared: &Shared) -> Result<Pattern, String> {
        let is_kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.id.is_empty() || !self.id.chars().all(is_kebab) {
            return Err("its id is not kebab-case".to_owned());
        }
        if self.samples.is_empty() || self.meaning.is_empty() || self.source.is_empty() {
            return Err("it lacks a sample, its meaning, or its source".to_owned());
        }
        if self.visibility.is_empty() {
            return Err("it does not say who shows it".to_owned());
        }
        for end in self.visibility.keys() {
            if !["client", "server", "log"].contains(&end.as_str()) {
                return Err(format!(
                    "`{end}` shows nothing; it is `client`, `server` or `log`"
                ));
            }
        }
        regex::bytes::Regex::new(&self.pattern).map_err(|error| error.to_string())?;
        let says = self.says.check(shared)?;
        let or_says = |other: Option<Says>| other.map_or(Ok(says.clone()), |it| it.check(shared));
        Ok(Pattern {
            on_client: or_says(self.on_client)?,
            on_server: or_says(self.on_server)?,
            with_server_name: self.with_server_name.map(|it| it.check(shared)).transpose()?,
            says,
            id: self.id,
            layer: self.layer,
            expression: self.pattern,
            meaning: self.meaning,
            about: self.about,
            since: self.since,
            until: self.until,
            visibility: self.visibility,
            source: self.source,
            samples: self.samples,
        })
    }
}

impl Says {
    fn check(self, shared: &Shared) -> Result<Statement, String> {
        let (outcome, mut candidates) = match (self.outcome, self.candidates, self.nothing) {
            (None, None, Some(silence)) if self.side.is_none() => return Ok(Statement::Nothing(silence)),
            (Some(outcome), None, None) => (Some(outcome), Vec::new()),
            (None, Some(Candidates::Listed(listed)), None) => (None, listed),
            (None, Some(Candidates::Named(name)), None) => {
                let found = shared.get(&name).cloned();
                (
                    None,
                    found.ok_or_else(|| format!("no candidates are called `{name}`"))?,
                )
            }
            _ => return Err("it says an outcome, or candidates, or nothing, and no two of them".to_owned()),
        };
        let meant = outcome.iter().chain(&candidates);
        if let Some(id) = meant
            .into_iter()
            .find(|id| id.is_delivered() || **id == OutcomeId::Unknown)
        {
            return Err(format!("`{id}` is no failure that a text can name"));
        }
        candidates.sort_unstable();
        candidates.dedup();
        Ok(Statement::Failure {
            outcome,
            candidates,
            by: self.side,
        })
    }
}

#[cfg(test)]
mod tests;
