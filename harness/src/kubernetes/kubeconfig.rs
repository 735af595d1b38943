//! Which kubeconfig is read, and what one of its contexts says.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::KubernetesError;
use super::error::message;

/// The configuration of a context that is named.
pub(super) async fn config(name: &str, path: Option<&Path>) -> Result<kube::Config, KubernetesError> {
    let kubeconfig = read(path)?;
    let known: Vec<String> = kubeconfig.contexts.iter().map(|it| it.name.clone()).collect();
    if !known.iter().any(|it| it == name) {
        return Err(KubernetesError::UnknownContext {
            name: name.to_owned(),
            known,
        });
    }
    let options = KubeConfigOptions {
        context: Some(name.to_owned()),
        ..KubeConfigOptions::default()
    };
    kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| unusable(&error))
}

/// The file that is named, else those of `KUBECONFIG`, else the one in the home folder, as kubectl does.
fn read(path: Option<&Path>) -> Result<Kubeconfig, KubernetesError> {
    let found = match path {
        Some(path) => Kubeconfig::read_from(path),
        None => match Kubeconfig::from_env() {
            Ok(Some(kubeconfig)) => Ok(kubeconfig),
            Ok(None) => Kubeconfig::read(),
            Err(error) => Err(error),
        },
    };
    found.map_err(|error| match &error {
        KubeconfigError::FindPath => KubernetesError::NoKubeconfig {
            path: PathBuf::from("~/.kube/config"),
        },
        KubeconfigError::ReadConfig(cause, path) if cause.kind() == ErrorKind::NotFound => {
            KubernetesError::NoKubeconfig { path: path.clone() }
        }
        _ => unusable(&error),
    })
}

fn unusable(error: &KubeconfigError) -> KubernetesError {
    let message = match error {
        // The library's message shows the line, in which there may be a token.
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!("it is no YAML at line {}, column {}", at.line(), at.column()),
            None => "it is no YAML".to_owned(),
        },
        other => message(other),
    };
    KubernetesError::Kubeconfig { message }
}
