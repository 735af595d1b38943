//! The docker tier, with images made of the Envoys that the local tier runs. Where there is no Docker, or it is out of
//! reach, trials are listed as ignored, with the reason.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use meshproof::envoy::binary::{Overrides, Silent, Store};
use meshproof::mesh::{MeshError, ProxyImages, Settings, Tier};
use meshproof::scenario::verdict::{ScenarioResult, Verdict};
use meshproof::scenario::{Catalogue, Options, RunError, Scenario, execute, workspace_root};
use semver::Version;
use testcontainers::bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, RemoveImageOptions,
};
use testcontainers::bollard::{Docker, body_full};
use testcontainers::core::client::docker_client_instance;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// What must be as on `local`: each fails in another place.
const SUBSET: [&str; 6] = [
    "skew-1.24.0",
    "missing-sidecar",
    "platform-client-into-strict",
    "expired-ca",
    "san-of-another-service-account",
    "black-hole",
];

/// Images that are made here. Their tag is the version of the Envoy in them.
const REPOSITORY: &str = "meshproof-test/envoy";

/// What every container of a run carries.
const LABEL: &str = "meshproof.run";

/// A trial that can be made.
type Test = Box<dyn FnOnce(&Runtime, &Images) -> Result<(), Failed> + Send>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new().unwrap());
    let possible = runtime.block_on(Tier::Docker.measure());
    let possible = possible.map_err(|missing| missing.to_string());
    let images = Arc::new(Images::default());
    let mut trials = Vec::new();
    let mut trial = |name: String, test: Test| {
        let (runtime, images) = (Arc::clone(&runtime), Arc::clone(&images));
        trials.push(match &possible {
            Ok(()) => Trial::test(name, move || test(&runtime, &images)),
            Err(missing) => Trial::test(name, || Ok(()))
                .with_kind(missing)
                .with_ignored_flag(true),
        });
    };
    for name in SUBSET {
        trial(
            format!("is_as_on_local::{name}"),
            Box::new(move |runtime, images| runtime.block_on(is_as_on_local(name, images))),
        );
    }
    trial(
        "a_run_that_is_given_up_leaves_nothing".to_owned(),
        Box::new(|runtime, images| runtime.block_on(given_up(images))),
    );
    trial(
        "an_image_that_is_not_to_be_had_is_the_machines_fault".to_owned(),
        Box::new(|runtime, _| runtime.block_on(no_image())),
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    if possible.is_ok() {
        runtime.block_on(images.remove());
    }
    conclusion.exit_code()
}

async fn is_as_on_local(name: &str, images: &Images) -> Result<(), Failed> {
    let scenario = scenario(name)?;
    let local = execute(&scenario, &Options::on(Tier::Local), &Settings::default(), |_| {}).await?;
    let settings = Settings {
        images: images.as_in(&local).await?,
        ..Settings::default()
    };
    let docker = execute(&scenario, &Options::on(Tier::Docker), &settings, |_| {}).await?;
    assert_eq!(docker.verdict, Verdict::Held, "{:?}", docker.reason);
    assert_eq!(docker.tier, Tier::Docker);
    assert_eq!(local.differences(&docker), []);
    let calls = |result: &ScenarioResult| {
        let calls = result.phases.iter().flat_map(|phase| &phase.calls);
        calls.map(|call| call.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(calls(&local), calls(&docker));
    // The same binary is as near to a release in an image as it is on disk, and the image is named with its digest.
    assert_eq!(local.components.len(), docker.components.len());
    for (local, docker) in local.components.iter().zip(&docker.components) {
        assert_eq!(local.sha256, docker.sha256);
        assert_eq!(local.provenance, docker.provenance);
        let image = docker.image.as_deref().unwrap();
        let expected = format!("{REPOSITORY}:{}@sha256:", local.envoy);
        assert!(image.starts_with(&expected), "{image}");
    }
    Ok(())
}

/// As Ctrl-C does it: while containers are being started, and while they run.
async fn given_up(images: &Images) -> Result<(), Failed> {
    let docker = docker_client_instance().await?;
    let scenario = scenario("missing-sidecar")?;
    let local = execute(&scenario, &Options::on(Tier::Local), &Settings::default(), |_| {}).await?;
    let settings = Settings {
        images: images.as_in(&local).await?,
        ..Settings::default()
    };
    for containers in [1, 2, 3] {
        let before: BTreeSet<String> = of_runs(&docker).await.into_keys().collect();
        let (scenario, settings) = (scenario.clone(), settings.clone());
        let running = tokio::spawn(async move {
            let _ = execute(&scenario, &Options::on(Tier::Docker), &settings, |_| {}).await;
        });
        let come = async || {
            of_runs(&docker)
                .await
                .into_keys()
                .filter(|id| !before.contains(id))
                .count()
        };
        until(async || come().await >= containers).await;
        running.abort();
        assert!(running.await.is_err_and(|error| error.is_cancelled()));
        // Other trials run meanwhile. The directory of a run goes last, so a container without one is left behind.
        let is_left = |folder: &String| !Path::new(folder).exists();
        until(async || !of_runs(&docker).await.values().any(is_left)).await;
    }
    Ok(())
}

async fn no_image() -> Result<(), Failed> {
    let settings = Settings {
        images: ProxyImages::from_flags(&["registry.invalid/meshproof/none:1".to_owned()])?,
        ..Settings::default()
    };
    let scenario = scenario("baseline-strict")?;
    let error = execute(&scenario, &Options::on(Tier::Docker), &settings, |_| {}).await;
    let RunError::Mesh(error) = error.unwrap_err() else {
        return Err("it is not the mesh that failed".into());
    };
    assert!(
        matches!(error, MeshError::Docker(_)) && error.is_machine(),
        "{error}"
    );
    let said = error.to_string();
    assert!(
        said.contains("registry.invalid/meshproof/none:1") && said.contains("--proxy-image"),
        "{said}"
    );
    Ok(())
}

/// Waits for what must come.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "it did not come within a minute");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The containers of all runs, with the directory of each run.
async fn of_runs(docker: &Docker) -> BTreeMap<String, String> {
    let filters: HashMap<String, Vec<String>> = [("label".to_owned(), vec![LABEL.to_owned()])].into();
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let listed = docker.list_containers(Some(options)).await.unwrap();
    let named = listed
        .into_iter()
        .filter_map(|it| Some((it.id?, it.labels?.remove(LABEL)?)));
    named.collect()
}

fn scenario(name: &str) -> Result<Scenario, Failed> {
    let catalogue = Catalogue::load(&workspace_root(Path::new(env!("CARGO_MANIFEST_DIR")))?)?;
    let found = catalogue.scenarios.into_iter().find(|it| it.name() == name);
    Ok(found.ok_or_else(|| format!("there is no scenario {name}"))?)
}

/// The images that were made.
#[derive(Default)]
struct Images(Mutex<BTreeSet<Version>>);

impl Images {
    /// For each release the Envoy that stood for it in a run on `local`.
    async fn as_in(&self, local: &ScenarioResult) -> Result<ProxyImages, Failed> {
        let stands: BTreeMap<&Version, &Version> = local
            .components
            .iter()
            .map(|component| (&component.istio, &component.envoy))
            .collect();
        let mut flags = Vec::new();
        for (istio, envoy) in stands {
            let mut made = self.0.lock().await;
            if !made.contains(envoy) {
                make(istio, envoy).await?;
                made.insert(envoy.clone());
            }
            flags.push(format!("{istio}={REPOSITORY}:{envoy}"));
        }
        Ok(ProxyImages::from_flags(&flags)?)
    }

    async fn remove(&self) {
        let docker = docker_client_instance().await.unwrap();
        for envoy in self.0.lock().await.iter() {
            let image = format!("{REPOSITORY}:{envoy}");
            docker
                .remove_image(&image, None::<RemoveImageOptions>, None)
                .await
                .unwrap();
        }
    }
}

/// Makes an image of nothing but an Envoy, a shell, and the libraries they need, from the files of this machine.
async fn make(istio: &Version, envoy: &Version) -> Result<(), Failed> {
    let releases = [istio.clone()];
    let provided = tokio::task::spawn_blocking(move || {
        Store::user()?.provide(&releases, &Overrides::default(), &Silent)
    });
    let binary = provided.await??.remove(istio).unwrap().path;
    let mut files = BTreeMap::from([
        (PathBuf::from("/usr/local/bin/envoy"), binary),
        (PathBuf::from("/bin/sh"), PathBuf::from("/bin/sh")),
    ]);
    for program in files.clone().into_values() {
        let libraries = libraries_of(&program)?;
        files.extend(libraries.into_iter().map(|library| (library.clone(), library)));
    }
    let mut archive = tar::Builder::new(Vec::new());
    // Folders that an archive does not name are root's alone, and root in a container may be without its privileges.
    let folders: BTreeSet<&Path> = files.keys().flat_map(|file| file.ancestors().skip(1)).collect();
    for folder in folders.into_iter().filter(|it| it.parent().is_some()) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        archive.append_data(&mut header, folder.strip_prefix("/")?, std::io::empty())?;
    }
    for (inside, file) in &files {
        archive.append_path_with_name(std::fs::canonicalize(file)?, inside.strip_prefix("/")?)?;
    }
    let docker = docker_client_instance().await?;
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(REPOSITORY)
        .tag(&envoy.to_string())
        .build();
    let root = body_full(archive.into_inner()?.into());
    let mut making = docker.create_image(Some(options), Some(root), None);
    while let Some(step) = making.next().await {
        step?;
    }
    Ok(())
}

/// The libraries of a program, and its loader, as `ldd` lists them.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>, Failed> {
    let listed = Command::new("ldd").arg(program).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let words = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).filter(|path| path.is_file()).collect())
}
