//! Exit codes: part of the command line's contract, never dependent on the output format.

use std::process::ExitCode;

use meshproof::chaos::{ChaosError, ToolsMissing};
use meshproof::cluster::ClusterError;
use meshproof::envoy::binary::{OverrideError, ProvisionError};
use meshproof::kernel::TracerError;
use meshproof::kubernetes::KubernetesError;
use meshproof::mesh::ImageError;
use meshproof::mesh::MeshError;
use meshproof::scenario::RunError;

use crate::which_cluster::NoCluster;

/// The table shown by `--help`.
pub(crate) const HELP: &str = "\
Begin with:
  cargo xtask scenario skew-1.24.0   an incident; fetches Envoy, 30 MB each
  cargo xtask scenario --list        what else there is
  cargo xtask predict -f manifests/  what becomes of each call of yours

Exit codes:
  0    nothing falsified
  1    something falsified, or findings at or above --fail-on
  2    bad usage or bad input file
  3    this machine cannot run it (a tier, binary or cluster is missing, or a
       capability under --require), or an audit is incomplete
  4    the harness itself failed
  130  interrupted, cleaned up";

/// How a command ended, where it ended as it should.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Nothing was falsified.
    Held,
    /// Something was.
    Falsified,
    /// Something required could not be run on this machine.
    CannotRun,
    /// Interrupted, and cleaned up.
    Interrupted,
    /// Another program's exit code, passed on.
    Other(u8),
}

/// Bad usage or a bad input file, already worded for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

/// The exit code of a command; an error is printed with its causes.
#[expect(clippy::print_stderr, reason = "the command's error")]
pub(crate) fn code(result: anyhow::Result<Exit>) -> ExitCode {
    let code = match result {
        Ok(Exit::Held) => 0,
        Ok(Exit::Falsified) => 1,
        Ok(Exit::CannotRun) => 3,
        Ok(Exit::Interrupted) => 130,
        Ok(Exit::Other(code)) => code,
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            of_error(&error)
        }
    };
    ExitCode::from(code)
}

/// The error, then each of its causes that no message before it has told already.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn of_error(error: &anyhow::Error) -> u8 {
    let mesh = error
        .chain()
        .find_map(|cause| match cause.downcast_ref::<RunError>() {
            Some(RunError::Mesh(mesh)) => Some(mesh),
            _ => match cause.downcast_ref::<ChaosError>() {
                Some(ChaosError::Mesh(mesh)) => Some(mesh),
                _ => cause.downcast_ref::<MeshError>(),
            },
        });
    let provision = mesh
        .and_then(|mesh| match mesh {
            MeshError::Provision(provision) => Some(provision),
            _ => None,
        })
        .or_else(|| error.downcast_ref::<ProvisionError>());
    let bad_input = error.is::<BadInput>()
        || error.is::<OverrideError>()
        || error.is::<ImageError>()
        || matches!(
            error.downcast_ref::<RunError>(),
            Some(RunError::NoSuchCall { .. })
        );
    if let Some(cluster) = error.downcast_ref::<ClusterError>() {
        return match cluster {
            it if it.is_usage() => 2,
            it if it.is_machine() => 3,
            _ => 4,
        };
    }
    let kernel = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<TracerError>());
    let cluster = error.downcast_ref::<KubernetesError>();
    match (provision, mesh) {
        (Some(ProvisionError::Interrupted), _) => 130,
        (Some(_), _) => 3,
        (None, Some(MeshError::Kubernetes(error))) if error.is_usage() => 2,
        (None, Some(mesh)) if mesh.is_machine() => 3,
        _ if kernel.is_some_and(TracerError::is_machine) => 3,
        _ if bad_input || cluster.is_some_and(KubernetesError::is_usage) => 2,
        // The cluster that was named cannot be read from here.
        _ if cluster.is_some() || error.is::<ToolsMissing>() || error.is::<NoCluster>() => 3,
        _ => 4,
    }
}
