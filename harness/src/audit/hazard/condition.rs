//! The closed set of things that a hazard's trigger can ask of a mesh.

use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::snapshot::api::TlsMode;

/// Something that is true of a mesh, is not, or cannot be told from the input.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Cannot be told from any input, and what would be needed.
    Needs(String),
    /// Every node is of such a Kubernetes version.
    Kubernetes(VersionReq),
    /// Some proxy is older than a release.
    ProxiesBefore(Version),
    /// Some proxy is more than so many minor releases behind the target.
    ProxiesBehind(u64),
    /// A DestinationRule has TLS settings like these.
    TlsRule(TlsRule),
    /// Several DestinationRules of one namespace are about one host and exported differently.
    DestinationRulesDifferInExportTo,
    /// A DestinationRule has TLS settings, and a subset that has none.
    SubsetWithoutTlsUnderRuleWithTls,
    /// A route rewrites the authority of calls to a host whose rule originates TLS and names no server.
    AuthorityRewrittenToTlsRuleWithoutSni,
    /// A DestinationRule is about an ExternalName Service.
    ExternalNameHasDestinationRule,
    /// A DestinationRule of MUTUAL is about a host outside of the mesh.
    ExternalHostHasMutualRule,
    /// Two objects declare one host.
    HostDeclaredTwice,
    /// A DestinationRule or Gateway names files of certificates.
    TlsFilesNamed,
    /// An HTTP route has no retries of its own.
    VirtualServiceWithoutRetries,
    /// A ServiceEntry selects pods whose policy gives ports a mode of their own.
    ServiceEntrySelectsPortModes,
    /// An AuthorizationPolicy's principals or namespaces have characters of a regular expression.
    AuthorizationPattern,
    /// A Gateway of the Gateway API refers to a certificate of another namespace.
    GatewayCertificateOfAnotherNamespace,
    /// The mesh configuration sets this (JSON pointer).
    MeshSetting(String),
    /// istiod's environment sets a variable.
    IstiodEnvironment(Setting),
    /// The values of the installation set something.
    InstallValue(Value),
    /// The root bundle holds several roots.
    SeveralRoots,
    /// What istiod signs with ends this soon.
    CaExpiresWithinHours(i64),
    /// istiod's signing bundle lacks one of its files.
    SigningBundleIncomplete,
    /// istiod's signing bundle has expired, or does not chain.
    SigningBundleInvalid,
    /// istiod's signing bundle has revocation lists.
    SigningBundleHasCrl,
    /// The root of istiod's signing bundle is another than the one namespaces have.
    RootDiffersFromDistributed,
    /// A certificate is of an elliptic curve other than P-256.
    CertificateCurveBeyondP256,
    /// A certificate cannot be parsed.
    CertificateMalformed,
    /// A container runs an older image than this.
    ContainerImage(Image),
    /// An image, or the hub of the installation, is of one of these registries.
    ImageFrom(Vec<String>),
    /// A pod mounts a volume of this CSI driver.
    VolumeOfDriver(String),
    /// There is a DaemonSet of this name.
    DaemonSet(String),
    /// The injection templates are not the release's own.
    CustomInjectionTemplate,
    /// A port accepts plaintext, and some workload has no sidecar.
    PermissiveServerWithPlaintextClients,
    /// istiod knows other clusters.
    SeveralClusters,
    /// The mesh spans networks.
    SeveralNetworks,
    /// There is an object of this kind.
    ObjectOfKind(String),
    /// There is an object of a kind with an annotation.
    ObjectAnnotated(Annotated),
}

/// TLS settings of a DestinationRule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsRule {
    /// One of these modes.
    pub modes: Vec<TlsMode>,
    /// None of these fields.
    #[serde(default)]
    pub lacking: Vec<RuleField>,
}

/// A field of a rule's TLS settings.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each variant is the field it names")]
pub enum RuleField {
    CaCertificates,
    CredentialName,
    InsecureSkipVerify,
    Sni,
}

/// A variable, and what it is; absent: anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// The variable.
    pub name: String,
    /// Its value.
    pub is: Option<String>,
}

/// A place in Helm values (JSON pointer), and what stands there; absent: anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// The place.
    pub at: String,
    /// What stands there.
    pub is: Option<String>,
}

/// An image by the last part of its name, and the version it is older than.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The last part of its name.
    pub name: String,
    /// The first version that is not meant.
    pub before: Version,
}

/// A kind and an annotation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotated {
    /// The kind.
    pub kind: String,
    /// The annotation's key.
    pub annotation: String,
}
