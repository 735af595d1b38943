//! `cargo xtask diagnose --apply`: a remedy that is marked safe, shown, asked about, done, watched, and undone where it does
//! not help.

use std::fs::File;
use std::io::{BufRead as _, ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use meshproof::call::Call;
use meshproof::diagnose::{Diagnosis, Remedy};
use meshproof::kubernetes::{Context, KubernetesError};
use meshproof::remediation::{Made, Plan, Recovery, RemediationError, Undone, Watched};
use meshproof::snapshot::{Scope, Snapshot};
use semver::Version;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::exit::{BadInput, Exit};
use crate::interrupt::Interruptible;

/// How many windows are looked at.
const WINDOWS: u32 = 6;

/// What a remedy is done to.
pub(super) struct Patient<'a> {
    pub(super) context: &'a Context,
    pub(super) scope: &'a Scope,
    pub(super) release: &'a Version,
    pub(super) snapshot: &'a Snapshot,
    pub(super) call: &'a Call,
}

/// How it is done.
pub(super) struct Manner<'a> {
    /// Nobody is asked.
    pub(super) yes: bool,
    /// How long no failure may be logged.
    pub(super) window: Duration,
    /// The image of an agent that makes the call again, where one may.
    pub(super) agent: Option<&'a str>,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
    /// `kept`, `undone`, `not-done`.
    ended: Ended,
    /// Why, in words.
    why: String,
    /// The file that has the object as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<PathBuf>,
    #[serde(skip)]
    is_interrupted: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Ended {
    Kept,
    Undone,
    NotDone,
}

impl Report {
    pub(super) fn exit(&self) -> Exit {
        match self.ended {
            _ if self.is_interrupted => Exit::Interrupted,
            Ended::Kept => Exit::Held,
            Ended::Undone | Ended::NotDone => Exit::Falsified,
        }
    }

    pub(super) fn text(&self) -> String {
        let ended = match self.ended {
            Ended::Kept => "applied and kept",
            Ended::Undone => "applied and undone",
            Ended::NotDone => "not applied",
        };
        format!("{ended}: {}", self.why)
    }

    fn not_done(why: impl Into<String>) -> Self {
        Self {
            object: None,
            diff: None,
            ended: Ended::NotDone,
            why: why.into(),
            before: None,
            is_interrupted: false,
        }
    }
}

/// Does the remedy of the diagnosed call.
pub(super) fn apply(
    diagnosis: &Diagnosis,
    patient: &Patient<'_>,
    manner: &Manner<'_>,
    interruptible: &Interruptible,
) -> anyhow::Result<Report> {
    let verdict = diagnosis.verdicts.first();
    let Some(remedy) = verdict.and_then(|it| it.remedy.as_ref()) else {
        return Ok(Report::not_done("there is no remedy to apply"));
    };
    let Some(plan) = interruptible.run(plan(patient, remedy))? else {
        return Ok(interrupted(Report::not_done("interrupted; nothing was written")));
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(RemediationError::Kubernetes { source }) => return Err(refused(source)),
        Err(error) => return Ok(Report::not_done(error.to_string())),
    };
    let diff = plan.diff();
    show(&plan, &diff, patient.context);
    let report = |ended, why: String| Report {
        object: Some(plan.object().to_string()),
        diff: Some(diff.clone()),
        ended,
        why,
        before: None,
        is_interrupted: false,
    };
    if !manner.yes {
        match interruptible.run(answer())? {
            None => {
                let why = "interrupted; nothing was written".to_owned();
                return Ok(interrupted(report(Ended::NotDone, why)));
            }
            Some(false) => return Ok(report(Ended::NotDone, "nobody said yes".to_owned())),
            Some(true) => {}
        }
    }
    let before = keep(&plan)?;
    let made = match interruptible.run(plan.make(patient.context))? {
        Some(Ok(made)) => made,
        Some(Err(error)) => {
            let _ = std::fs::remove_file(&before);
            return match error {
                RemediationError::Kubernetes { source } => Err(refused(source)),
                error => Ok(report(Ended::NotDone, error.to_string())),
            };
        }
        // Whether it was written is not known: whoever undoes it looks.
        None => {
            let why = undo(&plan.presumed(), patient, &before, interruptible, "interrupted")?;
            return Ok(interrupted(report(Ended::Undone, why)));
        }
    };
    let watched = interruptible.run(recovery(patient, manner).watch())?;
    match watched {
        Some(Ok(Watched {
            recovered: true,
            seen,
        })) => Ok(Report {
            before: Some(before.clone()),
            ..report(
                Ended::Kept,
                format!(
                    "{seen}; `kubectl create -f {0}` or `kubectl replace -f {0}` undoes it",
                    before.display()
                ),
            )
        }),
        Some(Ok(Watched { seen, .. })) => {
            let why = undo(&made, patient, &before, interruptible, &seen)?;
            Ok(report(Ended::Undone, why))
        }
        Some(Err(error)) => {
            let why = format!("whether it helped could not be seen: {error}");
            let why = undo(&made, patient, &before, interruptible, &why)?;
            Ok(report(Ended::Undone, why))
        }
        None => {
            let why = undo(&made, patient, &before, interruptible, "interrupted")?;
            Ok(interrupted(report(Ended::Undone, why)))
        }
    }
}

async fn plan(patient: &Patient<'_>, remedy: &Remedy) -> Result<Plan, RemediationError> {
    let plan = Plan::of(patient.context, remedy).await?;
    plan.spare_others(patient.snapshot)?;
    Ok(plan)
}

fn recovery<'a>(patient: &Patient<'a>, manner: &Manner<'a>) -> Recovery<'a> {
    Recovery {
        context: patient.context,
        scope: patient.scope,
        release: patient.release,
        call: patient.call,
        window: manner.window,
        within: manner.window * WINDOWS,
        agent: manner.agent,
    }
}

/// Undoes it, and says so; where that fails, what to do by hand.
fn undo(
    made: &Made,
    patient: &Patient<'_>,
    before: &Path,
    interruptible: &Interruptible,
    why: &str,
) -> anyhow::Result<String> {
    let by_hand = || {
        format!(
            "{why}; it is NOT undone: {} has the object as it was",
            before.display()
        )
    };
    let undone = interruptible.run(made.undo(patient.context))?;
    let undone = undone.with_context(by_hand)?.with_context(by_hand)?;
    let _ = std::fs::remove_file(before);
    let object = made.plan().object();
    Ok(match undone {
        Undone::Restored => format!("{why}; {object} is as it was"),
        Undone::Unchanged => format!("{why}; {object} had not been changed"),
    })
}

fn interrupted(report: Report) -> Report {
    Report {
        is_interrupted: true,
        ..report
    }
}

/// Keeps what `--rollback` of the remedy names, before anything is written.
fn keep(plan: &Plan) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(format!("{}.before.yaml", plan.object().name));
    let mut file = File::create_new(&path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => BadInput(format!(
            "{} is there already, and would be overwritten with the object as it is now: move it away",
            path.display()
        )),
        _ => BadInput(format!("cannot write {}: {error}", path.display())),
    })?;
    file.write_all(plan.before().as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The cluster said no; nothing was written.
fn refused(error: KubernetesError) -> anyhow::Error {
    let is_forbidden = matches!(error, KubernetesError::Forbidden { .. });
    let error = anyhow::Error::new(error);
    match is_forbidden {
        true => error
            .context("not applied, and nothing was written: manifests/rbac/remedy.yaml grants what it needs"),
        false => error.context("not applied, and nothing was written"),
    }
}

#[expect(clippy::print_stderr, reason = "a question, not a result")]
fn show(plan: &Plan, diff: &str, context: &Context) {
    eprintln!("\n{diff}");
    eprintln!("This would {plan} in {} ({}).", context.name(), context.server());
    eprintln!("It is marked safe: {}", plan.because());
    let controllers = plan.controllers();
    if !controllers.is_empty() {
        eprintln!(
            "{} wrote it, and may write it again: change it where that reads it, too.",
            controllers.join(" and ")
        );
    }
}

/// Whether somebody says yes. Read apart from the runtime, which would wait for it after Ctrl-C.
#[expect(clippy::print_stderr, reason = "a question, not a result")]
async fn answer() -> bool {
    if std::io::stdin().is_terminal() {
        eprint!("Apply it, watch whether the call goes through again, and undo it if not? [y/N] ");
    }
    let (told, answered) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let said = read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes");
        let _ = told.send(said);
    });
    answered.await.unwrap_or(false)
}
