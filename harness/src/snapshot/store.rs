//! The set of objects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use semver::Version;

use super::{LoadError, MeshConfig, NoSuchObject, Object, ObjectRef, yaml};

/// A set of Kubernetes and Istio objects, the mesh configuration, and the control plane's release.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The mesh configuration in force: that of the last `istio` ConfigMap or IstioOperator applied, else the defaults.
    pub mesh: MeshConfig,
    /// The control plane's Istio release.
    pub release: Version,
    /// Shared between copies: each state of a scenario and each release of an audit has one.
    objects: BTreeMap<ObjectRef, Arc<Stored>>,
    mesh_problem: Option<(ObjectRef, String)>,
    applied: u64,
}

/// An object, where it came from, and how old it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The object.
    pub object: Object,
    /// Where it was written.
    pub source: Source,
    /// Smaller is older.
    pub age: Age,
}

/// Where an object was written.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Source {
    /// File name, or what else the text is called.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

/// When an object came into being; the smaller, the older. Objects that carry a `creationTimestamp` are older than
/// those that do not (they exist already), and those that do not go by the order in which they were first applied.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Age {
    applied: u64,
    created: Option<Timestamp>,
}

impl Snapshot {
    /// An empty snapshot with the default mesh configuration.
    #[must_use]
    pub fn new(release: Version) -> Self {
        Self {
            mesh: MeshConfig::default(),
            release,
            objects: BTreeMap::new(),
            mesh_problem: None,
            applied: 0,
        }
    }

    /// Applies the manifests of files, and of folders with everything below them in order of their names.
    ///
    /// # Errors
    /// When a path cannot be read, a folder holds no manifest, or a text holds no valid objects. Nothing of a file
    /// that has an error is applied.
    pub fn load_files(&mut self, paths: &[PathBuf]) -> Result<(), LoadError> {
        for path in paths {
            if path.is_dir() {
                let files = manifests_below(path)?;
                if files.is_empty() {
                    return Err(LoadError::EmptyFolder(path.clone()));
                }
                files.iter().try_for_each(|file| self.load_file(file))?;
            } else {
                self.load_file(path)?;
            }
        }
        Ok(())
    }

    /// Applies the objects of a text; `file` names it in messages.
    ///
    /// # Errors
    /// When the text holds no valid objects; then none of them is applied.
    pub fn add_yaml(&mut self, text: &str, file: &str) -> Result<(), LoadError> {
        let objects = yaml::objects(text, file)?;
        for (object, source) in &objects {
            if let Some(config) = MeshConfig::of(object, source, &self.mesh.root_namespace) {
                config?;
            }
        }
        for (object, source) in objects {
            self.apply_from(object, source);
        }
        Ok(())
    }

    /// Creates an object, or replaces the one of the same kind, namespace and name, which keeps its age.
    pub fn apply(&mut self, object: Object) {
        self.apply_from(object, Source::default());
    }

    /// As [`Self::apply`], for an object that was written somewhere.
    pub fn apply_from(&mut self, object: Object, source: Source) {
        self.applied += 1;
        let name = object.object_ref();
        self.read_mesh(&name, &object, &source);
        let age = self
            .objects
            .get(&name)
            .map_or_else(|| Age::of(&object, self.applied), |old| old.age);
        self.objects
            .insert(name, Arc::new(Stored { object, source, age }));
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn delete(&mut self, name: &ObjectRef) -> Result<Stored, Box<NoSuchObject>> {
        let Some(stored) = self.objects.remove(name) else {
            return Err(Box::new(NoSuchObject {
                object: name.clone(),
                nearest: self.nearest(name),
            }));
        };
        if MeshConfig::of(&stored.object, &stored.source, &self.mesh.root_namespace).is_some() {
            self.mesh = MeshConfig::default();
            self.mesh_problem = None;
        }
        Ok(Arc::unwrap_or_clone(stored))
    }

    /// The object of that name.
    #[must_use]
    pub fn get(&self, name: &ObjectRef) -> Option<&Stored> {
        self.objects.get(name).map(Arc::as_ref)
    }

    /// The same mesh with some of its objects, which keep their ages.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&ObjectRef, &Stored) -> bool) -> Self {
        let mut some = self.clone();
        some.objects.retain(|name, stored| keep(name, stored));
        some
    }

    /// All objects, by name.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectRef, &Stored)> {
        self.objects.iter().map(|(name, stored)| (name, &**stored))
    }

    /// The object whose mesh configuration could not be read, and why; the last good one stays in force, as in istiod.
    #[must_use]
    pub fn mesh_problem(&self) -> Option<(&ObjectRef, &str)> {
        self.mesh_problem
            .as_ref()
            .map(|(object, problem)| (object, problem.as_str()))
    }

    fn load_file(&mut self, path: &Path) -> Result<(), LoadError> {
        let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
        self.add_yaml(&text, &path.display().to_string())
    }

    fn read_mesh(&mut self, name: &ObjectRef, object: &Object, source: &Source) {
        match MeshConfig::of(object, source, &self.mesh.root_namespace) {
            Some(Ok(config)) => {
                self.mesh = config;
                self.mesh_problem = None;
            }
            Some(Err(problem)) => self.mesh_problem = Some((name.clone(), problem.message)),
            None => {}
        }
    }

    fn nearest(&self, name: &ObjectRef) -> Option<ObjectRef> {
        let wanted = name.to_string();
        self.objects
            .keys()
            .map(|it| (strsim::jaro_winkler(&it.to_string(), &wanted), it))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, it)| it.clone())
    }
}

impl Age {
    fn of(object: &Object, applied: u64) -> Self {
        match object.metadata().creation_timestamp.as_ref() {
            Some(time) => Self {
                applied: 0,
                created: Some(time.0),
            },
            None => Self {
                applied,
                created: None,
            },
        }
    }
}

pub(super) fn manifests_below(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let read = |source| LoadError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|it| it.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(read)?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            files.extend(manifests_below(&entry)?);
        } else if yaml::is_manifest(&entry) {
            files.push(entry);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Result<Snapshot, LoadError> {
        let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
        snapshot.add_yaml(text, "mesh.yaml").map(|()| snapshot)
    }

    fn lines(snapshot: &Snapshot) -> Vec<(String, usize)> {
        snapshot
            .objects()
            .map(|(name, stored)| (name.to_string(), stored.source.line))
            .collect()
    }

    #[test]
    fn documents_lists_and_json_are_read_with_the_line_each_object_starts_at() {
        let text = "\
# a comment
---
apiVersion: v1
kind: Namespace
metadata: {name: payments}
---
---
# another
apiVersion: v1
kind: List
items:
- apiVersion: security.istio.io/v1
  kind: PeerAuthentication
  metadata: {name: strict, namespace: payments}
  spec: {mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}
- {apiVersion: example.com/v1, kind: Thing, metadata: {name: x}, spec: {a: 1}}
--- {\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"a\"}}
...
";
        assert_eq!(
            lines(&snapshot(text).unwrap()),
            [
                ("Namespace/payments".to_owned(), 3),
                ("PeerAuthentication/payments/strict".to_owned(), 12),
                ("Service/default/a".to_owned(), 17),
                ("Thing/default/x".to_owned(), 16),
            ]
        );
    }

    #[test]
    fn what_kubectl_takes_is_taken() {
        let text = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, labels: , annotations: {}}
spec:
  replicas: 2
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}, creationTimestamp: null}
    spec:
      containers:
      - name: app
        image: app:1
        resources: {limits: {cpu: 2, memory: 1Gi}}
        env: [{name: A, value: \"1\"}]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}}
        args:
        - |
          ---not a marker
status: {}
---
apiVersion: v1
kind: List
items:
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80, targetPort: web}], selector: {app: a}}
";
        assert_eq!(lines(&snapshot(text).unwrap()).len(), 2);
    }

    #[test]
    fn a_mistake_is_shown_with_file_line_and_column() {
        let cases = [
            "apiVersion: v1\nkind: Namespace\n---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nspec:\n  mtsl: {mode: STRICT}\n",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nspec:\n  mtls: {mode: STRIKT}\n",
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nspec:\n  host: a\n  trafficPolicy:\n    tls: {mode: SIMPLE, caCertificate: /a}\n",
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  spec: 7\n",
            "kind: Pod\n",
            "a: [\n",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'enableAutoMtls: perhaps'}\n",
        ];
        let messages: Vec<String> = cases
            .iter()
            .map(|text| snapshot(text).unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(messages.join("\n\n"));
    }

    #[test]
    fn an_object_applied_again_keeps_its_age_and_a_deleted_one_leaves_its_nearest_name() {
        let policy = |name: &str| {
            format!(
                "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: a}}\n---\n"
            )
        };
        let text = [policy("first"), policy("second"), policy("first")].concat();
        let mut snapshot = snapshot(&text).unwrap();
        let age = |snapshot: &Snapshot, name: &str| {
            snapshot
                .get(&ObjectRef::new("PeerAuthentication", Some("a"), name))
                .map(|it| it.age)
        };
        assert!(age(&snapshot, "first") < age(&snapshot, "second"));
        let wrong = "PeerAuthentication/a/frist".parse().unwrap();
        assert_eq!(
            snapshot.delete(&wrong).unwrap_err().to_string(),
            "cannot delete PeerAuthentication/a/frist: no such object; did you mean PeerAuthentication/a/first?"
        );
        snapshot
            .delete(&"PeerAuthentication/a/first".parse().unwrap())
            .unwrap();
        snapshot.add_yaml(&policy("first"), "again").unwrap();
        assert!(age(&snapshot, "second") < age(&snapshot, "first"));
    }

    #[test]
    fn the_mesh_configuration_is_that_of_the_config_map_and_falls_back_when_it_goes() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    trustDomain: corp\n    trustDomainAliases: [old]\n    enableAutoMtls: false\n    outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n    meshMTLS: {minProtocolVersion: TLSV1_3}\n    defaultConfig: {discoveryAddress: x}\n";
        let mut snapshot = snapshot(text).unwrap();
        assert_eq!(
            snapshot.mesh,
            MeshConfig {
                trust_domain: "corp".to_owned(),
                trust_domain_aliases: vec!["old".to_owned()],
                enable_auto_mtls: false,
                outbound_traffic_policy: super::super::OutboundTrafficPolicy::RegistryOnly,
                min_protocol_version: Some("TLSV1_3".to_owned()),
                ..MeshConfig::default()
            }
        );
        snapshot
            .delete(&"ConfigMap/istio-system/istio".parse().unwrap())
            .unwrap();
        assert_eq!(snapshot.mesh, MeshConfig::default());
    }
}
