//! Printing results as they come: for people, or one JSON object a line.

use meshproof::report::Text;
use meshproof::scenario::Scenario;
use meshproof::scenario::verdict::{PhaseResult, ScenarioResult};

use super::Output;
use crate::output::outln;

/// Where results go.
#[derive(Clone, Copy)]
pub(super) struct Printer {
    pub(super) output: Output,
    pub(super) text: Text,
    /// Phases are shown as they end.
    pub(super) live: bool,
    /// Nothing is printed: the results are for somebody else.
    pub(super) silent: bool,
}

impl Printer {
    pub(super) fn heading(self, scenario: &Scenario, tier: &str) {
        if self.speaks_to_people() {
            outln!(
                "{}",
                self.text
                    .heading(scenario.name(), &scenario.file.metadata.title, tier)
            );
        }
    }

    pub(super) fn phase(self, phase: &PhaseResult, reproduce: &str) {
        if self.speaks_to_people() {
            outln!("{}", self.text.phase(phase, reproduce));
        }
    }

    pub(super) fn footing(self, result: &ScenarioResult) -> anyhow::Result<()> {
        if self.silent {
            return Ok(());
        }
        match self.output {
            Output::Text => outln!("{}", self.text.footing(result)),
            Output::Json => outln!("{}", serde_json::to_string(result)?),
        }
        Ok(())
    }

    pub(super) fn whole(self, scenario: &Scenario, result: &ScenarioResult) -> anyhow::Result<()> {
        self.heading(scenario, result.tier.as_str());
        for phase in &result.phases {
            self.phase(phase, &result.reproduce);
        }
        self.footing(result)
    }

    fn speaks_to_people(self) -> bool {
        !self.silent && self.output == Output::Text
    }

    /// Something beside the results; only for people.
    pub(super) fn note(self, text: &str) {
        if self.speaks_to_people() {
            outln!("{text}");
        }
    }

    /// Why the command does not end well; beside JSON it goes where errors go.
    #[expect(clippy::print_stderr, reason = "standard output is JSON only")]
    pub(super) fn complain(self, text: &str) {
        match self.output {
            Output::Text => outln!("{text}"),
            Output::Json => eprintln!("error: {text}"),
        }
    }
}
