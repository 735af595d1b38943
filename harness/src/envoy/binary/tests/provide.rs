//! Providing for releases.

use semver::Version;

use super::super::digest::sha256_of_bytes;
use super::super::{EnvoyBinary, Overrides, Provenance, ProvisionError, Silent};
use super::{NO_PYTHON, World, envoy_script};

#[test]
fn a_machine_without_builds_can_still_use_its_own_binary() {
    let world = World::new();
    let path = world.binary("envoy", &envoy_script("1.32.3-dev"));
    let store = world
        .store
        .clone()
        .with(world.store.pins().clone(), None, NO_PYTHON);
    let istio = Version::new(1, 24, 0);
    let overrides = Overrides::parse(&[format!("1.24.0={}", path.display())], None).unwrap();
    let provided = store
        .provide(std::slice::from_ref(&istio), &overrides, &Silent)
        .unwrap();
    let expected = EnvoyBinary {
        path,
        version: "1.32.3-dev".parse().unwrap(),
        sha256: sha256_of_bytes(envoy_script("1.32.3-dev").as_bytes()),
        provenance: Provenance::Istio,
        istio: istio.clone(),
        image: None,
    };
    assert_eq!(
        provided.into_iter().collect::<Vec<_>>(),
        [(istio.clone(), expected)]
    );

    let error = store
        .provide(&[istio], &Overrides::default(), &Silent)
        .unwrap_err();
    assert!(
        matches!(error, ProvisionError::UnsupportedPlatform { .. }),
        "{error}"
    );
}

#[test]
fn several_releases_share_one_install() {
    let world = World::new();
    world.install().unwrap();
    let releases = ["1.24.0", "1.24.1", "1.28.2", "1.24.0"].map(|release| release.parse().unwrap());
    let provided = world
        .store
        .provide(&releases, &Overrides::default(), &Silent)
        .unwrap();
    let found: Vec<_> = provided
        .iter()
        .map(|(istio, binary)| format!("{istio} {} {}", binary.version, binary.provenance))
        .collect();
    assert_eq!(
        found,
        [
            "1.24.0 1.36.4 stand-in",
            "1.24.1 1.36.4 stand-in",
            "1.28.2 1.36.4 upstream-same-minor"
        ]
    );
}

#[test]
fn an_override_that_is_no_envoy_is_named() {
    let world = World::new();
    let path = world.binary("envoy", "#!/bin/sh\necho something else\n");
    let overrides = Overrides::parse(&[format!("1.24.0={}", path.display())], None).unwrap();
    let error = world
        .store
        .provide(&[Version::new(1, 24, 0)], &overrides, &Silent)
        .unwrap_err();
    assert!(matches!(error, ProvisionError::NotEnvoy { .. }), "{error}");
}
