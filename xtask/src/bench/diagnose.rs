//! `cargo xtask bench diagnose`: how long a verdict on all calls of 500 pods takes, from a bundle.

use std::fmt::Write as _;
use std::time::Instant;

use clap::Args;
use jiff::Timestamp;
use meshproof::bench::clean_mesh;
use meshproof::diagnose::{Case, Observed, Subject, diagnose};
use meshproof::snapshot::{Mixed, Names, Snapshot};
use semver::Version;

use super::judge;
use crate::exit::Exit;
use crate::output::outln;

/// What it may take, from file to verdicts.
const SECONDS: f64 = 2.0;
const CURRENT: Version = Version::new(1, 30, 3);

/// Measure a diagnosis of every call of 500 pods
///
/// Five pods a workload and a Service each; some calls are broken.
///
///   read      bundle to objects
///   diagnose  objects to verdicts
///
/// Needs optimisation to mean anything:
///
///   cargo run --release -p xtask -- bench diagnose
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct Diagnose {
    /// How many workloads, each with five pods and a Service
    #[arg(long, value_name = "N", default_value_t = 100)]
    workloads: usize,

    /// How many of them are called in plaintext and take none
    #[arg(long, value_name = "N", default_value_t = 5)]
    broken: usize,

    /// Exit 1 if the goal is missed
    #[arg(long)]
    check: bool,
}

impl Diagnose {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if cfg!(debug_assertions) {
            outln!("not optimised: use cargo run --release -p xtask -- bench diagnose");
        }
        let mut written = Snapshot::new(CURRENT);
        let mut mixed = Mixed::default();
        written.add_mixed(&self.mesh(), "bench", &mut mixed);
        let mut file = tempfile::NamedTempFile::new()?;
        written.write_bundle(&mixed, Names::Kept, Timestamp::now(), &mut file)?;

        let started = Instant::now();
        let mut snapshot = Snapshot::new(CURRENT);
        let mut mixed = Mixed::default();
        snapshot.load_bundle(file.path(), &mut mixed)?;
        let read = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let diagnosis = diagnose(Case {
            snapshot,
            mixed,
            observed: Observed::default(),
            now: Timestamp::now(),
            subject: Subject::Mesh,
        })?;
        let diagnosed = started.elapsed().as_secs_f64();
        outln!(
            "{} pods, {} calls, {} failures of their own\n  read      {read:.3} s\n  diagnose  {diagnosed:.3} s",
            self.workloads * 5,
            diagnosis.calls,
            diagnosis.verdicts.len()
        );
        let goals = [
            (format!("{SECONDS} s"), read + diagnosed <= SECONDS),
            (
                format!("each of {} failures found", self.broken),
                diagnosis.verdicts.len() == self.broken,
            ),
        ];
        Ok(judge(&goals, self.check))
    }

    fn mesh(&self) -> String {
        let mut text = clean_mesh(self.workloads, 0);
        for n in 0..self.broken.min(self.workloads) {
            // As clean_mesh has them: fifty to a namespace. Writing to a String cannot fail.
            let namespace = n / 50;
            let _ = write!(
                text,
                "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: strict{n}, namespace: ns{namespace}}}\nspec: {{selector: {{matchLabels: {{app: w{n}}}}}, mtls: {{mode: STRICT}}}}\n---\n\
                 apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: plain{n}, namespace: ns{namespace}}}\nspec: {{host: w{n}, trafficPolicy: {{tls: {{mode: DISABLE}}}}}}\n---\n"
            );
        }
        text
    }
}
