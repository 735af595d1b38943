//! The programs that make clusters: where they are, which version they are of, and what they are asked.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use semver::Version;
use serde::Deserialize;

use super::ClusterError;
use super::plan::Release;
use super::runner::{Ended, Invocation, Runner};

/// Where programs are looked for.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    folder: PathBuf,
    path: OsString,
}

impl Tools {
    pub(super) const fn new(folder: PathBuf, path: OsString) -> Self {
        Self { folder, path }
    }

    pub(super) fn program(&self, name: &str) -> Result<PathBuf, ClusterError> {
        self.find(name).ok_or_else(|| self.missing(name))
    }

    /// An istioctl of just this release: another one would install other charts.
    pub(super) async fn istioctl(
        &self,
        release: &Release,
        runner: &Runner,
        limit: Duration,
    ) -> Result<Istioctl, ClusterError> {
        let version = &release.version;
        let named = format!("istioctl-{version}");
        let remedy = format!(
            "put istioctl {version} of https://github.com/istio/istio/releases/tag/{version} into {} as {named}",
            self.folder.display()
        );
        let found = self.find(&named).or_else(|| self.find("istioctl"));
        let Some(path) = found else {
            return Err(ClusterError::Missing {
                program: format!("istioctl {version}"),
                remedy,
            });
        };
        let said = runner
            .run(Invocation::new(
                &path,
                limit,
                ["version", "--remote=false", "--output", "json"],
            ))
            .await?;
        let answer = serde_json::from_str::<IstioctlVersion>(&said);
        match answer {
            Ok(answer) if answer.client_version.version == version.to_string() => Ok(Istioctl {
                path,
                runner: runner.clone(),
            }),
            answer => Err(ClusterError::WrongVersion {
                path,
                found: answer.map_or_else(|_| "of no version".to_owned(), |it| it.client_version.version),
                needed: version.to_string(),
                remedy,
            }),
        }
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let folders = std::iter::once(self.folder.clone()).chain(std::env::split_paths(&self.path));
        folders.map(|folder| folder.join(name)).find(|it| is_program(it))
    }

    fn missing(&self, name: &str) -> ClusterError {
        let page = match name {
            "kind" => "https://kind.sigs.k8s.io",
            _ => "https://docs.docker.com/engine/install",
        };
        ClusterError::Missing {
            program: name.to_owned(),
            remedy: format!(
                "install it ({page}) so that it is on PATH, or put it into {}",
                self.folder.display()
            ),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IstioctlVersion {
    client_version: ClientVersion,
}

#[derive(Deserialize)]
struct ClientVersion {
    version: String,
}

/// The program kind.
#[derive(Debug)]
pub(super) struct Kind {
    path: PathBuf,
    runner: Runner,
}

impl Kind {
    pub(super) const fn new(path: PathBuf, runner: Runner) -> Self {
        Self { path, runner }
    }

    /// Refuses a kind that is older than the one a node image was built for.
    pub(super) async fn check(&self, needed: &Version, limit: Duration) -> Result<(), ClusterError> {
        let said = self.runner.run(self.call(limit, ["version"])).await?;
        // As `kind v0.32.0 go1.26.8 linux/amd64`.
        let found = said.split_whitespace().nth(1).unwrap_or_default();
        match Version::parse(found.trim_start_matches('v')) {
            Ok(version) if version >= *needed => Ok(()),
            _ => Err(ClusterError::WrongVersion {
                path: self.path.clone(),
                found: format!("`{}`", said.trim()),
                needed: format!("kind {needed} or later"),
                remedy: "install a newer one (https://kind.sigs.k8s.io)".to_owned(),
            }),
        }
    }

    /// All clusters of kind; that there is none is said on standard error, with exit code 0 (kind 0.32.0).
    pub(super) async fn clusters(&self, limit: Duration) -> Result<Vec<String>, ClusterError> {
        let said = self.runner.run(self.call(limit, ["get", "clusters"])).await?;
        Ok(said.lines().map(str::to_owned).collect())
    }

    pub(super) async fn create(
        &self,
        name: &str,
        config: &Path,
        kubeconfig: &Path,
        limit: Duration,
    ) -> Result<(), ClusterError> {
        let (config, kubeconfig) = (config.to_string_lossy(), kubeconfig.to_string_lossy());
        let arguments = [
            "create",
            "cluster",
            "--name",
            name,
            "--config",
            &config,
            "--kubeconfig",
            &kubeconfig,
            "--wait",
            "180s",
        ];
        self.runner.run(self.call(limit, arguments)).await?;
        Ok(())
    }

    /// Copies an image of docker's into the nodes.
    pub(super) async fn load(&self, name: &str, image: &str, limit: Duration) -> Result<(), ClusterError> {
        let arguments = ["load", "docker-image", image, "--name", name];
        self.runner.run(self.call(limit, arguments)).await?;
        Ok(())
    }

    /// Deletes a cluster, if there is one: one that kind does not know is no failure (kind 0.32.0).
    pub(super) async fn delete(
        &self,
        name: &str,
        kubeconfig: &Path,
        limit: Duration,
    ) -> Result<(), ClusterError> {
        let kubeconfig = kubeconfig.to_string_lossy();
        let arguments = ["delete", "cluster", "--name", name, "--kubeconfig", &kubeconfig];
        self.runner.run(self.call(limit, arguments)).await?;
        Ok(())
    }

    fn call<const N: usize>(&self, limit: Duration, arguments: [&str; N]) -> Invocation<'_> {
        Invocation::new(&self.path, limit, arguments)
    }
}

/// The program docker.
#[derive(Debug)]
pub(super) struct Docker {
    path: PathBuf,
    runner: Runner,
}

impl Docker {
    pub(super) const fn new(path: PathBuf, runner: Runner) -> Self {
        Self { path, runner }
    }

    /// Refuses a docker whose daemon does not answer.
    pub(super) async fn check(&self, limit: Duration) -> Result<(), ClusterError> {
        let asked = Invocation::new(&self.path, limit, ["version", "--format", "{{.Server.Version}}"]);
        match self.runner.run(asked).await {
            Ok(_) => Ok(()),
            Err(super::CommandError::Failed { said, .. }) => Err(ClusterError::NoDocker { said }),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn run<const N: usize>(
        &self,
        limit: Duration,
        arguments: [&str; N],
        input: &str,
    ) -> Result<String, ClusterError> {
        let invocation = Invocation::new(&self.path, limit, arguments).with_input(input);
        Ok(self.runner.run(invocation).await?)
    }

    pub(super) async fn ask<const N: usize>(
        &self,
        limit: Duration,
        arguments: [&str; N],
    ) -> Result<Ended, ClusterError> {
        Ok(self
            .runner
            .ask(Invocation::new(&self.path, limit, arguments))
            .await?)
    }
}

/// An istioctl of one release.
#[derive(Debug)]
pub(super) struct Istioctl {
    path: PathBuf,
    runner: Runner,
}

impl Istioctl {
    /// Installs istiod alone, as a revision. Installing again what is there changes nothing.
    pub(super) async fn install(
        &self,
        release: &Release,
        kubeconfig: &Path,
        context: &str,
        limit: Duration,
    ) -> Result<(), ClusterError> {
        // It gives up before it is killed, and then says which resource was not ready.
        let patience = limit.saturating_sub(Duration::from_secs(60)).max(limit / 2);
        let arguments = [
            "install".to_owned(),
            "--skip-confirmation".to_owned(),
            "--kubeconfig".to_owned(),
            kubeconfig.to_string_lossy().into_owned(),
            "--context".to_owned(),
            context.to_owned(),
            "--revision".to_owned(),
            release.revision(),
            "--set".to_owned(),
            "profile=minimal".to_owned(),
            "--set".to_owned(),
            format!("hub={}", release.hub),
            "--set".to_owned(),
            format!("tag={}", release.version),
            "--readiness-timeout".to_owned(),
            format!("{}s", patience.as_secs()),
        ];
        self.runner
            .run(Invocation::new(&self.path, limit, arguments))
            .await?;
        Ok(())
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}
