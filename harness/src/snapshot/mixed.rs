//! Reading a folder as people keep it: manifests beside Helm values and kustomizations, with mistakes. What can be read is
//! read, what cannot is listed.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::store::manifests_below;
use super::{LoadError, ObjectRef, SchemaMistake, Snapshot, Source, yaml};

/// What an input holds beside the objects that went into the snapshot.
#[derive(Debug, Default)]
pub struct Mixed {
    /// Documents that are no Kubernetes objects: Helm values, kustomizations.
    pub plain: Vec<Plain>,
    /// Fields and values that the objects' schemas do not know.
    pub mistakes: Vec<Mistake>,
    /// What could not be read; the snapshot lacks it.
    pub unread: Vec<LoadError>,
    /// What else is to be known of the input.
    pub notes: Vec<String>,
    /// The API server's release, as `v1.33.1`, where there was one.
    pub kubernetes: Option<String>,
}

/// A document that is no Kubernetes object.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain {
    /// The document.
    pub value: Value,
    /// Where it was written.
    pub source: Source,
}

/// A mistake in an object that could be read nevertheless.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The object.
    pub object: ObjectRef,
    /// Where the object was written.
    pub source: Source,
    /// What is wrong.
    pub mistake: SchemaMistake,
}

impl Snapshot {
    /// Applies the manifests of files, and of folders with everything below them, as far as they can be read. A mistake
    /// costs the one document, or item of a list, that it is in.
    pub fn load_mixed(&mut self, paths: &[PathBuf], found: &mut Mixed) {
        for path in paths {
            if !path.is_dir() {
                self.load_mixed_file(path, found);
                continue;
            }
            match manifests_below(path) {
                Ok(files) if files.is_empty() => found.unread.push(LoadError::EmptyFolder(path.clone())),
                Ok(files) => files.iter().for_each(|file| self.load_mixed_file(file, found)),
                Err(error) => found.unread.push(error),
            }
        }
    }

    /// As [`Self::load_mixed`], for a text; `file` names it in messages.
    pub fn add_mixed(&mut self, text: &str, file: &str, found: &mut Mixed) {
        let read = yaml::mixed(text, file);
        for (object, source) in read.objects {
            self.apply_from(object, source);
        }
        let plain = read.plain.into_iter().filter(|(value, _)| value.is_object());
        found
            .plain
            .extend(plain.map(|(value, source)| Plain { value, source }));
        found.mistakes.extend(read.mistakes);
        found.unread.extend(
            read.unread
                .into_iter()
                .map(|error| LoadError::Yaml(Box::new(error))),
        );
    }

    fn load_mixed_file(&mut self, path: &Path, found: &mut Mixed) {
        match std::fs::read_to_string(path) {
            Ok(text) => self.add_mixed(&text, &path.display().to_string(), found),
            Err(source) => found.unread.push(LoadError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;

    #[test]
    fn a_mistake_costs_the_document_it_is_in_and_nothing_else() {
        let text = "
apiVersion: v1
kind: Namespace
metadata: {name: a}
---
global: {tag: 1.30.3}
---
a: [
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: b, namespace: a}
spec: {host: b, trafficPolicy: {tls: {mode: SIMPLE, caCertificate: /a}}}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: c, namespace: a}}
- {apiVersion: v1, kind: Service, spec: 7}
- {kind: Pod}
";
        let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
        let mut found = Mixed::default();
        snapshot.add_mixed(text, "mesh.yaml", &mut found);
        let names: Vec<String> = snapshot.objects().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["DestinationRule/a/b", "Namespace/a", "Service/a/c"]);
        assert_eq!(found.plain.len(), 1);
        assert_eq!(
            found.mistakes[0].mistake.path,
            "spec.trafficPolicy.tls.caCertificate"
        );
        let unread: Vec<String> = found.unread.iter().map(ToString::to_string).collect();
        assert_eq!(unread.len(), 3, "{unread:#?}");
    }

    #[test]
    fn no_private_key_is_held_and_no_line_of_a_secret_shown() {
        let text = "
apiVersion: v1
kind: Secret
metadata: {name: cacerts, namespace: istio-system}
stringData: {ca-key.pem: hunter2}
---
apiVersion: v1
kind: Secret
metadata: {name: broken}
stringData: {password: hunter2
";
        let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
        let mut found = Mixed::default();
        snapshot.add_mixed(text, "mesh.yaml", &mut found);
        assert_eq!(found.unread.len(), 1);
        let all = format!("{snapshot:?} {} {found:?}", found.unread[0]);
        assert!(!all.contains("hunter2"));
    }
}
