//! The archive that `istioctl bug-report` writes, as its source lays it out (tools/bug-report/pkg/archive/archive.go and
//! pkg/content/content.go@1.30.3): a tar.gz whose folder `bug-report/cluster` has, as YAML lists, `k8s-resources` (objects of
//! Kubernetes) and `crs` (custom resources), and `secrets` (a table, or a list where --full-secrets was given). It was
//! written from that source: no archive was at hand.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;

use super::BundleError;
use crate::snapshot::{LoadError, Mixed, Snapshot};

/// The folder of what is not of one proxy or of istiod.
const CLUSTER: &str = "cluster";
/// Without them there is no mesh.
const NEEDED: [&str; 2] = ["k8s-resources", "crs"];
const SECRETS: &str = "secrets";

pub(super) fn read(
    snapshot: &mut Snapshot,
    path: &Path,
    file: File,
    found: &mut Mixed,
) -> Result<(), BundleError> {
    let mut seen = Vec::new();
    let mut entries = 0;
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let ended = |error: &io::Error, entries: usize| match error.kind() {
        io::ErrorKind::UnexpectedEof => BundleError::Half {
            path: path.to_owned(),
            lines: entries,
        },
        _ => BundleError::Other {
            path: path.to_owned(),
            why: "it is compressed with gzip, and no tar archive",
        },
    };
    for entry in archive.entries().map_err(|error| ended(&error, 0))? {
        let mut entry = entry.map_err(|error| ended(&error, entries))?;
        entries += 1;
        let inside = entry.path().map_err(|error| ended(&error, entries))?.into_owned();
        let folder = inside
            .parent()
            .and_then(Path::file_name)
            .and_then(|it| it.to_str());
        let Some(name) = inside.file_name().and_then(|it| it.to_str()) else {
            continue;
        };
        if folder != Some(CLUSTER) || !(NEEDED.contains(&name) || name == SECRETS) {
            continue;
        }
        let mut text = String::new();
        entry
            .read_to_string(&mut text)
            .map_err(|error| ended(&error, entries))?;
        let source = format!("{}:{}", path.display(), inside.display());
        let is_yaml = text.trim_start().starts_with("apiVersion:");
        if name == SECRETS && !is_yaml {
            // A table of names and types.
            continue;
        }
        if !is_yaml {
            let gap =
                format!("{source} is no YAML list of objects: what bug-report met is written there instead");
            found.unread.push(LoadError::Gap(gap));
            continue;
        }
        snapshot.add_mixed(&text, &source, found);
        seen.push(name.to_owned());
    }
    if seen.is_empty() && found.unread.is_empty() {
        return Err(BundleError::Other {
            path: path.to_owned(),
            why: "it is an archive without bug-report/cluster/k8s-resources",
        });
    }
    for needed in NEEDED {
        if !seen.iter().any(|it| it == needed) {
            let gap = format!("{} has no {CLUSTER}/{needed} that could be read", path.display());
            found.unread.push(LoadError::Gap(gap));
        }
    }
    found.notes.push(format!(
        "{}: an archive of istioctl bug-report, read by its documented layout; what bug-report was told to exclude is not in it",
        path.display()
    ));
    Ok(())
}
