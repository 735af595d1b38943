//! The certificate authority that all revisions of a cluster share: workloads of one revision must trust those of another.

use serde_json::json;

use super::ClusterError;
use crate::kubernetes::{Context, Resource, Selection};
use crate::pki::{Authority, RootName};

const NAMESPACES: Resource = Resource {
    group: "",
    versions: &["v1"],
    plural: "namespaces",
    kind: "Namespace",
};
const SECRETS: Resource = Resource {
    group: "",
    versions: &["v1"],
    plural: "secrets",
    kind: "Secret",
};
const ROOT_NAMESPACE: &str = "istio-system";
/// Where istiod looks for an authority that is plugged in.
const SECRET: &str = "cacerts";

/// Plugs in an authority before the first istiod starts; one that is there stays, for certificates were issued under it.
pub(super) async fn plug_in(context: &Context) -> Result<(), ClusterError> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ROOT_NAMESPACE},
    });
    context.apply(&NAMESPACES, &namespace).await?;
    let selection = Selection {
        resource: &SECRETS,
        namespace: Some(ROOT_NAMESPACE),
        name: Some(SECRET),
    };
    let mut is_there = false;
    context.list(&selection, |_| is_there = true).await?;
    if is_there {
        return Ok(());
    }
    let issued = Authority::new("cluster.local").plugged_in(&RootName(RootName::MESH.to_owned()))?;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": ROOT_NAMESPACE},
        "stringData": {
            "ca-cert.pem": issued.certificate,
            "ca-key.pem": issued.private_key.pem(),
            "root-cert.pem": issued.root,
            "cert-chain.pem": issued.chain,
        },
    });
    context.apply(&SECRETS, &secret).await?;
    Ok(())
}
