//! The catalogue as a page: from what a person sees to the scenario that shows it, its cause, and its remedy.

mod link;
mod phases;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Write as _};

use semver::VersionReq;

use crate::claims::Ledger;
use crate::outcome::{OutcomeId, Side};
use crate::scenario::{Catalogue, Scenario, actions};
use crate::symptom::{Place, Sign, Symptom, Symptoms};
use link::{link, to_heading, words};
use phases::{becomes, cell, done, refused, remedies};

/// Where the page is, from the workspace root.
pub const CATALOGUE_PAGE: &str = "docs/catalogue.md";

/// The page over a catalogue, its symptoms, and its claims.
#[must_use]
pub fn catalogue_page(catalogue: &Catalogue, symptoms: &Symptoms, ledger: &Ledger) -> String {
    Page {
        catalogue,
        symptoms,
        ledger,
    }
    .to_string()
}

struct Page<'a> {
    catalogue: &'a Catalogue,
    symptoms: &'a Symptoms,
    ledger: &'a Ledger,
}

/// A refusal: an outcome, and the end that refuses.
type Refusal = (OutcomeId, Option<Side>);

const HEAD: &str = "\
# Catalogue of mTLS failures

<!-- Generated from scenarios/, manifests/symptoms.yaml and manifests/claims.yaml. Refresh it with:
     UPDATE_CATALOGUE=1 cargo test -p meshproof catalogue_page -->

Search this page for what you see, follow it to a scenario, run that (`cargo xtask scenario NAME`), and read which
remedy works. Istio 1.N runs Envoy 1.(N+8): what Envoy says since 1.37, sidecars say since Istio 1.29.

Three things to know before you search. A stock sidecar has no access log outside of the demo profile, its server's
listener log passes lines with the flag NR alone, and it exports none of the `ssl.` statistics; a
[proxy's debug log](https://istio.io/latest/docs/ops/diagnostic-tools/proxy-cmd/) or a `proxyStatsMatcher` shows them.
In TLS 1.3 a client that a server refuses knows nothing of it but a closed connection; in TLS 1.2 its log names the
alert. And the texts below are those of HTTP calls between two sidecars: over TCP the flags are written in another
order, and a client without a sidecar sees a closed connection and nothing else.
";

impl Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        self.index(f)?;
        f.write_str("\n## By outcome\n")?;
        for refusal in self.refusals() {
            self.refusal(f, refusal)?;
        }
        f.write_str("\n## Scenarios\n")?;
        let mut scenarios = self.catalogue.scenarios.iter();
        scenarios.try_for_each(|scenario| self.scenario(f, scenario))
    }
}

impl Page<'_> {
    fn index(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, title) in [
            (Place::Answer, "the answer, a 503"),
            (Place::ClientLog, "the client's access log"),
            (Place::ServerLog, "the server's listener log"),
            (Place::ClientStats, "the client proxy's statistics"),
            (Place::ServerStats, "the server proxy's statistics"),
        ] {
            let mut refusals: BTreeMap<(&str, String), BTreeSet<Refusal>> = BTreeMap::new();
            for symptom in self.symptoms.all() {
                for sign in signs(symptom, place) {
                    let key = (sign.text.as_str(), versions(&sign.envoy));
                    refusals
                        .entry(key)
                        .or_default()
                        .insert((symptom.outcome, symptom.side));
                }
            }
            write!(
                f,
                "\n## By what you see in {title}\n\n| you see | Envoy | it may be |\n|---|---|---|\n"
            )?;
            for ((text, envoy), refusals) in refusals {
                let links: Vec<String> = refusals.into_iter().map(link).collect();
                writeln!(f, "| `{text}` | {envoy} | {} |", links.join(", "))?;
            }
        }
        Ok(())
    }

    /// Every refusal that has a look or a scenario.
    fn refusals(&self) -> BTreeSet<Refusal> {
        let looks = self.symptoms.all().iter().map(|it| (it.outcome, it.side));
        let expected = self.catalogue.scenarios.iter().flat_map(expected_refusals);
        looks.chain(expected).collect()
    }

    fn refusal(&self, f: &mut fmt::Formatter<'_>, refusal: Refusal) -> fmt::Result {
        write!(f, "\n### {}\n\n", words(refusal))?;
        let mut looks = 0;
        for symptom in self.symptoms.of(refusal.0, refusal.1) {
            looks += 1;
            look(f, symptom)?;
        }
        if looks == 0 {
            writeln!(f, "- no recording of an HTTP call between sidecars shows it")?;
        }
        let scenarios: Vec<String> = self
            .catalogue
            .scenarios
            .iter()
            .filter(|scenario| expected_refusals(scenario).contains(&refusal))
            .map(|scenario| to_heading(scenario.name()))
            .collect();
        if scenarios.is_empty() {
            writeln!(f, "- scenarios: none yet")
        } else {
            writeln!(f, "- scenarios: {}", scenarios.join(", "))
        }
    }

    fn scenario(&self, f: &mut fmt::Formatter<'_>, scenario: &Scenario) -> fmt::Result {
        let (metadata, spec) = (&scenario.file.metadata, &scenario.file.spec);
        write!(f, "\n### {}\n\n**{}.**\n", metadata.name, metadata.title)?;
        for paragraph in metadata
            .description
            .lines()
            .filter(|line| !line.trim().is_empty())
        {
            write!(f, "\n{}\n", paragraph.trim())?;
        }
        write!(
            f,
            "\n| phase | what is done | what becomes of it |\n|---|---|---|\n"
        )?;
        for phase in &spec.phases {
            writeln!(
                f,
                "| {} | {} | {} |",
                phase.name,
                cell(&actions(phase)),
                becomes(phase)
            )?;
        }
        f.write_char('\n')?;
        let (useless, remedies) = remedies(scenario);
        for (title, phases) in [("does not help", useless), ("remedy", remedies)] {
            for phase in phases {
                writeln!(f, "- {title}: {} ({})", phase.name, done(phase))?;
            }
        }
        for id in &metadata.claims {
            if let Some(claim) = self.ledger.get(id) {
                writeln!(f, "- claim {id} ({}): {}", claim.verdict, claim.claim)?;
            }
        }
        if !spec.needs.is_empty() {
            let needs: Vec<&str> = spec.needs.iter().map(|need| need.as_str()).collect();
            writeln!(f, "- needs: {}", needs.join(", "))?;
        }
        writeln!(f, "- run it: `cargo xtask scenario {}`", metadata.name)
    }
}

fn look(f: &mut fmt::Formatter<'_>, symptom: &Symptom) -> fmt::Result {
    if let Some(when) = &symptom.when {
        writeln!(f, "- where {when}:")?;
    }
    let indent = if symptom.when.is_some() { "  " } else { "" };
    for (place, signs) in symptom.places() {
        let texts: Vec<String> = signs.iter().map(said).collect();
        if !texts.is_empty() {
            writeln!(f, "{indent}- {place}: {}", texts.join(", "))?;
        }
    }
    // The labels of Istio's standard metric are those of the access log.
    if let Some(flags) = signs(symptom, Place::ClientLog).first() {
        let labels = format!(
            r#"reporter="source",response_code="503",response_flags="{}""#,
            flags.text
        );
        writeln!(f, "{indent}- alert on: `istio_requests_total{{{labels}}}`")?;
    }
    Ok(())
}

fn signs(symptom: &Symptom, wanted: Place) -> &[Sign] {
    let found = symptom.places().into_iter().find(|(place, _)| *place == wanted);
    found.map_or(&[], |(_, signs)| signs)
}

fn said(sign: &Sign) -> String {
    match versions(&sign.envoy).as_str() {
        "" => format!("`{}`", sign.text),
        versions => format!("`{}` ({versions})", sign.text),
    }
}

/// Empty for all.
fn versions(envoy: &VersionReq) -> String {
    if *envoy == VersionReq::STAR {
        String::new()
    } else {
        format!("Envoy {envoy}")
    }
}

fn expected_refusals(scenario: &Scenario) -> BTreeSet<Refusal> {
    let expectations = scenario.file.spec.phases.iter().flat_map(|phase| &phase.expect);
    expectations.filter_map(refused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Phase;
    use std::path::Path;

    fn page(root: &Path) -> String {
        let catalogue = Catalogue::load(root).unwrap();
        catalogue_page(
            &catalogue,
            Symptoms::embedded().unwrap(),
            Ledger::embedded().unwrap(),
        )
    }

    fn root() -> std::path::PathBuf {
        crate::scenario::workspace_root(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn the_checked_in_catalogue_page_is_the_one_of_the_files() {
        let path = root().join(CATALOGUE_PAGE);
        let page = page(&root());
        if std::env::var_os("UPDATE_CATALOGUE").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            checked_in == page,
            "{CATALOGUE_PAGE} is out of date; refresh it with: UPDATE_CATALOGUE=1 cargo test -p meshproof catalogue_page"
        );
    }

    #[test]
    fn what_cures_a_refused_call_is_a_remedy_and_what_does_not_is_none() {
        let catalogue = Catalogue::load(&root()).unwrap();
        let (useless, remedies) = remedies(catalogue.get("platform-client-into-strict").unwrap());
        let names = |phases: Vec<&Phase>| phases.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(useless), ["destination-rule-makes-it-worse"]);
        assert_eq!(names(remedies), ["rule-deleted", "permissive-port"]);
    }

    #[test]
    fn every_symptom_was_recorded_or_is_expected_of_some_scenario() {
        let catalogue = Catalogue::load(&root()).unwrap();
        let expected: BTreeSet<Refusal> = catalogue.scenarios.iter().flat_map(expected_refusals).collect();
        for symptom in Symptoms::embedded().unwrap().all() {
            let refusal = (symptom.outcome, symptom.side);
            assert!(
                !symptom.recorded.is_empty() || expected.contains(&refusal),
                "nothing shows {}",
                words(refusal)
            );
        }
    }

    #[test]
    fn every_link_of_the_catalogue_page_leads_to_one_of_its_headings() {
        let page = page(&root());
        let headings: BTreeSet<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .map(to_heading)
            .collect();
        let mut links = 0;
        for (at, _) in page.match_indices("](#") {
            let from = page[..at].rfind('[').unwrap();
            let to = at + page[at..].find(')').unwrap() + 1;
            assert!(headings.contains(&page[from..to]), "{}", &page[from..to]);
            links += 1;
        }
        assert!(links > headings.len());
    }
}
