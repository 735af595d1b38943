//! Which sidecars Istio supports under which control plane.

use semver::Version;
use serde::Serialize;

use crate::scenario::verdict::ReleaseOverrides;

/// A pairing that Istio does not support, and why.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Unsupported {
    /// The pairing.
    pub releases: ReleaseOverrides,
    /// Why.
    pub reason: String,
}

/// Every pairing of the lists. An empty list stands for what scenarios say themselves.
pub(super) fn pairings(
    istio: &[Version],
    client: &[Version],
    server: &[Version],
) -> (Vec<ReleaseOverrides>, Vec<Unsupported>) {
    let (mut supported, mut unsupported) = (Vec::new(), Vec::new());
    for istio in choices(istio) {
        for client in choices(client) {
            for server in choices(server) {
                let releases = ReleaseOverrides {
                    istio: istio.cloned(),
                    client: client.cloned(),
                    server: server.cloned(),
                };
                match refusal(&releases) {
                    None => supported.push(releases),
                    Some(reason) => unsupported.push(Unsupported { releases, reason }),
                }
            }
        }
    }
    (supported, unsupported)
}

fn choices(list: &[Version]) -> Vec<Option<&Version>> {
    if list.is_empty() {
        return vec![None];
    }
    list.iter().map(Some).collect()
}

/// istiod supports sidecars of its own minor release and of the one before, none that is newer (istio.io, supported
/// releases, control plane and data plane skew).
fn refusal(releases: &ReleaseOverrides) -> Option<String> {
    let istio = releases.istio.as_ref()?;
    let sidecars = [&releases.client, &releases.server].into_iter().flatten();
    for sidecar in sidecars {
        if sidecar > istio {
            return Some(format!("a sidecar of {sidecar} is newer than istiod {istio}"));
        }
        if (sidecar.major, sidecar.minor + 1) < (istio.major, istio.minor) {
            return Some(format!(
                "a sidecar of {sidecar} is more than one minor release behind istiod {istio}"
            ));
        }
    }
    None
}
