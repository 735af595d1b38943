//! A scenario as a page for people.

use std::fmt::{self, Display, Write as _};

use super::format::{Expectation, Phase};
use super::load::Scenario;
use crate::call::{CallKind, Connections, Payload};
use crate::fault::{Fault, TlsLimitsFault};
use crate::invocation::command;
use crate::one_or_many::OneOrMany;

/// The page: what it is about, what happens phase by phase, what its faults imitate, how to run it.
#[must_use]
pub fn explain(scenario: &Scenario) -> String {
    Page(scenario).to_string()
}

struct Page<'a>(&'a Scenario);

const WIDTH: usize = 100;

impl Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (metadata, spec) = (&self.0.file.metadata, &self.0.file.spec);
        writeln!(f, "{}: {}\n", metadata.name, metadata.title)?;
        writeln!(f, "{}\n", wrapped(metadata.description.trim(), ""))?;
        writeln!(f, "Control plane: Istio {}", spec.istio)?;
        writeln!(f, "Manifests:     {}", spec.manifests.join(", "))?;
        if !spec.needs.is_empty() {
            let needs: Vec<&str> = spec.needs.iter().map(|need| need.as_str()).collect();
            writeln!(f, "Needs:         {}", needs.join(", "))?;
        }
        if !metadata.claims.is_empty() {
            writeln!(f, "Claims:        {}", metadata.claims.join(", "))?;
        }
        for (index, phase) in spec.phases.iter().enumerate() {
            writeln!(f, "\n{}. {}", index + 1, phase.name)?;
            actions(phase)
                .iter()
                .try_for_each(|action| writeln!(f, "   - {action}"))?;
            phase
                .expect
                .iter()
                .try_for_each(|expectation| writeln!(f, "   {}", sentence(expectation)))?;
        }
        self.faults(f)?;
        writeln!(
            f,
            "\nRun it:                 {} scenario {}",
            command(),
            metadata.name
        )?;
        if self.0.expects_refusals() {
            writeln!(
                f,
                "Prove that it notices:  {} scenario {} --without-faults",
                command(),
                metadata.name
            )?;
        }
        Ok(())
    }
}

impl Page<'_> {
    fn faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<_> = self
            .0
            .file
            .spec
            .phases
            .iter()
            .flat_map(|p| &p.inject)
            .map(Fault::kind)
            .collect();
        kinds.dedup();
        if kinds.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nFaults")?;
        for kind in kinds {
            writeln!(f, "   {}", kind.id)?;
            writeln!(f, "{}", wrapped(&format!("imitates {}", kind.imitates), "      "))?;
            writeln!(f, "{}", wrapped(&format!("shows {}", kind.shows), "      "))?;
        }
        Ok(())
    }
}

/// What a phase does, in the order of the format: `delete Kind/namespace/name`, `break expired-leaf of payment`.
pub(crate) fn actions(phase: &Phase) -> Vec<String> {
    let mut done = Vec::new();
    let mut line = |verb: &str, what: &str| done.push(format!("{verb} {what}"));
    for object in &phase.delete {
        line("delete", object);
    }
    for manifest in &phase.manifests {
        line("apply", manifest);
    }
    for object in &phase.apply {
        let text = |pointer: &str| {
            object
                .0
                .pointer(pointer)
                .and_then(|it| it.as_str())
                .unwrap_or("default")
        };
        let name = [text("/kind"), text("/metadata/namespace"), text("/metadata/name")].join("/");
        line("apply", &name);
    }
    if let Some(healed) = &phase.heal {
        line("heal", &healed.to_string());
    }
    for fault in &phase.inject {
        line("break", &broken(fault));
    }
    for step in phase.rotate.iter().flatten() {
        line("rotate", &step.to_string());
    }
    if let Some(restart) = &phase.restart {
        line("restart", &restart.to_string());
    }
    match phase.connections {
        Connections::Fresh => {}
        Connections::Resume => line("let", "calls resume TLS sessions"),
        Connections::Reuse => line("let", "calls share connections"),
    }
    done
}

fn broken(fault: &Fault) -> String {
    let mut text = fault.kind().id.to_owned();
    match fault {
        Fault::SanSuffix(f) => write_to(&mut text, format_args!(" `{}`", f.suffix)),
        Fault::SanReplace(f) => write_to(&mut text, format_args!(" `{}`", f.san)),
        Fault::ExpiredRoot(f) => write_to(&mut text, format_args!(" `{}`", f.root)),
        Fault::TrustDomain(f) => write_to(&mut text, format_args!(" `{}`", f.domain)),
        Fault::LeafKey(f) => write_to(&mut text, format_args!(" {}", word(&f.key))),
        Fault::ExtendedKeyUsage(f) => write_to(&mut text, format_args!(" {} only", word(&f.only))),
        Fault::MissingSecret(f) => write_to(&mut text, format_args!(" ({})", word(&f.secret))),
        Fault::TlsLimits(f) => write_to(&mut text, format_args!(" ({})", limits(f))),
        Fault::BlackHole(f) | Fault::SilentPort(f) | Fault::RefusedPort(f) => {
            if let Some(port) = f.port {
                write_to(&mut text, format_args!(" {port}"));
            }
        }
        _ => {}
    }
    if let Some(workload) = fault.workload() {
        write_to(&mut text, format_args!(" of {}", everybody_or(workload)));
    }
    if fault.name() != fault.kind().id {
        write_to(&mut text, format_args!(", called {}", fault.name()));
    }
    text
}

fn limits(fault: &TlsLimitsFault) -> String {
    let mut parts = Vec::new();
    if let Some(end) = fault.end {
        parts.push(format!("as a {end}"));
    }
    if let Some(version) = &fault.min_version {
        parts.push(format!("TLS {} or newer", word(version)));
    }
    if let Some(version) = &fault.max_version {
        parts.push(format!("TLS {} or older", word(version)));
    }
    let suites = fault
        .cipher_suites
        .iter()
        .map(|suite| suite.as_str())
        .collect::<Vec<_>>();
    let groups = fault
        .groups
        .iter()
        .map(|group| group.as_str())
        .collect::<Vec<_>>();
    for (what, names) in [("ciphers", suites), ("groups", groups)] {
        if !names.is_empty() {
            parts.push(format!("{what} {}", names.join(" ")));
        }
    }
    parts.join(", ")
}

/// A word as scenario files spell it.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    let text = value.as_ref().and_then(serde_json::Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn everybody_or(names: &OneOrMany<String>) -> String {
    if names.iter().any(|name| name == "*") {
        "everybody".to_owned()
    } else {
        names.to_string()
    }
}

/// `checkout -> payment:9000 (tcp)`.
pub(crate) fn call_of(expectation: &Expectation) -> String {
    let mut traits = Vec::new();
    if expectation.call != CallKind::App {
        traits.push(expectation.call.as_str().to_owned());
    }
    if expectation.payload != Payload::Http {
        traits.push(expectation.payload.as_str().to_owned());
    }
    traits.extend(expectation.alpn.iter().map(|alpn| format!("ALPN {alpn}")));
    traits.extend(expectation.subset.iter().map(|subset| format!("subset {subset}")));
    let traits = if traits.is_empty() {
        String::new()
    } else {
        format!(" ({})", traits.join(", "))
    };
    format!("{} -> {}{traits}", expectation.from, expectation.to)
}

/// `checkout -> payment:9000 (tcp): mtls`.
fn sentence(expectation: &Expectation) -> String {
    let side = expectation
        .side
        .map(|side| format!(", refused by the {side}"))
        .unwrap_or_default();
    let mut text = format!("{}: {}{side}", call_of(expectation), expectation.outcome);
    if !expectation.candidates.is_empty() {
        let candidates: Vec<&str> = expectation.candidates.iter().map(|id| id.as_str()).collect();
        write_to(&mut text, format_args!(" ({})", candidates.join(" or ")));
    }
    if let Some(failed) = &expectation.failed {
        write_to(&mut text, format_args!("; under load meanwhile, {failed} fail"));
    }
    if let Some(when) = &expectation.when {
        let tiers = when
            .tier
            .as_ref()
            .map(|tiers| tiers.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(", "));
        let parts = [
            when.client.as_ref().map(|release| format!("client {release}")),
            when.server.as_ref().map(|release| format!("server {release}")),
            tiers.map(|tiers| format!("on {tiers}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        write_to(&mut text, format_args!(" [when {}]", parts.join(", ")));
    }
    text
}

/// Writing to a `String` cannot fail.
fn write_to(text: &mut String, more: fmt::Arguments<'_>) {
    let _ = text.write_fmt(more);
}

/// Paragraphs broken into lines of at most [`WIDTH`] characters.
fn wrapped(text: &str, indent: &str) -> String {
    // In a folded text (`>-`) each line break is a paragraph; in a literal one (`|`) an empty line is.
    let between = if text.contains("\n\n") { "\n\n" } else { "\n" };
    let paragraphs = text.split(between).map(|paragraph| {
        let mut lines = vec![indent.to_owned()];
        for word in paragraph.split_whitespace() {
            let width = lines.last().map_or(0, |line| line.chars().count());
            if width > indent.len() && width + 1 + word.chars().count() > WIDTH {
                lines.push(indent.to_owned());
            }
            if let Some(line) = lines.last_mut() {
                if line.len() > indent.len() {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
        lines.join("\n")
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}
