//! What kind is told about a cluster: `kind-configs/` holds it for every node image of the table of releases.

use serde::{Deserialize, Serialize};

use crate::istio::NodeImage;
use crate::snapshot::to_yaml;

/// Node images that were built for a release of kind before this one bring containerd 1, in which mirrors are off unless
/// its configuration names the folder of mirrors. Later ones bring containerd 2, where that folder is the default and the
/// plugin has another name (release notes of kind 0.27.0).
const CONTAINERD_2: semver::Version = semver::Version::new(0, 27, 0);

/// What turns mirrors on in containerd 1 (kind's page on local registries).
const MIRRORS: &str = "\
[plugins.\"io.containerd.grpc.v1.cri\".registry]
  config_path = \"/etc/containerd/certs.d\"
";

/// A cluster as `kind create cluster --config` reads it, as far as it is used here. kind refuses fields it does not know,
/// and so does this.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KindConfig {
    kind: ConfigKind,
    api_version: ApiVersion,
    networking: Networking,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    containerd_config_patches: Vec<String>,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum ConfigKind {
    Cluster,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum ApiVersion {
    #[serde(rename = "kind.x-k8s.io/v1alpha4")]
    V1Alpha4,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Networking {
    ip_family: IpFamily,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum IpFamily {
    Ipv4,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Node {
    role: Role,
    image: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    ControlPlane,
}

impl KindConfig {
    /// A cluster of one node that runs this image. One node is enough: a fault of mTLS knows nodes only as addresses.
    #[must_use]
    pub fn of(node: &NodeImage) -> Self {
        let containerd_config_patches = if node.kind < CONTAINERD_2 {
            vec![MIRRORS.to_owned()]
        } else {
            Vec::new()
        };
        Self {
            kind: ConfigKind::Cluster,
            api_version: ApiVersion::V1Alpha4,
            networking: Networking {
                ip_family: IpFamily::Ipv4,
            },
            containerd_config_patches,
            nodes: vec![Node {
                role: Role::ControlPlane,
                image: node.image.clone(),
            }],
        }
    }

    /// As kind reads it.
    ///
    /// # Errors
    /// What the encoder said, which a test rules out for every node image known.
    pub fn to_yaml(&self) -> Result<String, String> {
        to_yaml(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::istio::ReleaseTable;
    use crate::snapshot::from_yaml;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../kind-configs")
    }

    fn file(node: &NodeImage) -> String {
        format!("{}.{}.yaml", node.kubernetes.major, node.kubernetes.minor)
    }

    fn written(node: &NodeImage) -> String {
        let minors = ReleaseTable::known().unwrap().minors();
        let supporting = minors.iter().filter(|it| it.supports(&node.kubernetes));
        let supporting: Vec<String> = supporting
            .map(|it| format!("{}.{}", it.minor.major, it.minor.minor))
            .collect();
        let whom = if supporting.is_empty() {
            "that no Istio release supports yet".to_owned()
        } else {
            format!("for Istio {}", supporting.join(", "))
        };
        let head = format!(
            "# Kubernetes {}, {whom}; kind {} or later.\n# Generated from manifests/istio/releases.yaml:\n#   UPDATE_KIND_CONFIGS=1 cargo test -p meshproof kind_config\n",
            node.kubernetes, node.kind
        );
        head + KindConfig::of(node).to_yaml().unwrap().trim_end() + "\n"
    }

    #[test]
    fn the_files_are_those_of_the_table() {
        let nodes: Vec<&NodeImage> = ReleaseTable::known().unwrap().nodes_for(&[]).collect();
        assert!(!nodes.is_empty());
        for node in &nodes {
            let path = folder().join(file(node));
            let text = written(node);
            if std::env::var_os("UPDATE_KIND_CONFIGS").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == text,
                "{} is out of date; refresh it with: UPDATE_KIND_CONFIGS=1 cargo test -p meshproof kind_config",
                path.display()
            );
        }
        let found: BTreeSet<String> = std::fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, nodes.iter().map(|it| file(it)).collect());
    }

    #[test]
    fn a_file_is_read_as_strictly_as_kind_reads_it() {
        let node = ReleaseTable::known().unwrap().nodes_for(&[]).next().unwrap();
        let text = written(node);
        assert_eq!(
            from_yaml::<KindConfig>(&text, "it").unwrap(),
            KindConfig::of(node)
        );
        let cases = [
            ("nodes:", "nods:", "nods"),
            ("v1alpha4", "v1alpha3", "v1alpha3"),
            ("control-plane", "controlplane", "controlplane"),
            ("ipFamily", "ipfamily", "ipfamily"),
        ];
        for (right, wrong, named) in cases {
            assert!(text.contains(right), "{right}");
            let error = from_yaml::<KindConfig>(&text.replace(right, wrong), "it").unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn every_release_has_a_node_image_that_it_supports_and_so_has_every_pair_that_follows_one_another() {
        let table = ReleaseTable::known().unwrap();
        let minors = table.minors();
        for minor in minors {
            assert!(table.nodes_for(&[minor]).next().is_some(), "{}", minor.minor);
        }
        for pair in minors.windows(2) {
            let names: Vec<String> = pair.iter().map(|it| it.minor.to_string()).collect();
            let pair: Vec<_> = pair.iter().collect();
            assert!(table.nodes_for(&pair).next().is_some(), "{names:?}");
        }
    }
}
