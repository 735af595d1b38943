//! Whether a mesh meets a hazard's trigger.

mod certificates;
mod installation;
mod policy;

use super::Condition;
use crate::audit::view::View;
use crate::snapshot::ObjectRef;

/// The answer, of one condition or of a whole trigger.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::audit) enum Holds {
    /// It holds, because of these objects; none: of the mesh as a whole.
    Yes(Vec<ObjectRef>),
    No,
    /// The input lacks what is needed.
    CannotTell(String),
}

/// Whether every condition holds. One that does not settles the question, whatever is unknown about others.
pub(in crate::audit) fn evaluate(trigger: &[Condition], view: &View<'_>) -> Holds {
    let mut all = Vec::new();
    let mut unknown = None;
    for condition in trigger {
        match holds(condition, view) {
            Holds::No => return Holds::No,
            Holds::Yes(objects) => all.extend(objects),
            Holds::CannotTell(needs) => unknown = unknown.or(Some(needs)),
        }
    }
    all.sort();
    all.dedup();
    unknown.map_or(Holds::Yes(all), Holds::CannotTell)
}

fn holds(condition: &Condition, view: &View<'_>) -> Holds {
    use Condition as C;
    match condition {
        C::Needs(what) => Holds::CannotTell(what.clone()),
        C::Kubernetes(versions) => installation::kubernetes(versions, view),
        C::ProxiesBefore(release) => Holds::some(
            view.proxies()
                .filter(|(.., it)| it < release)
                .map(|(name, ..)| name),
        ),
        C::ProxiesBehind(minors) => Holds::some(
            view.proxies()
                .filter(|(.., it)| it.minor + minors < view.target.minor)
                .map(|(name, ..)| name),
        ),
        C::TlsRule(wanted) => policy::tls_rule(wanted, view),
        C::DestinationRulesDifferInExportTo => policy::rules_differ_in_export_to(view),
        C::SubsetWithoutTlsUnderRuleWithTls => policy::subset_without_tls(view),
        C::AuthorityRewrittenToTlsRuleWithoutSni => policy::authority_rewritten(view),
        C::ExternalNameHasDestinationRule => policy::external_name_has_rule(view),
        C::ExternalHostHasMutualRule => policy::external_host_has_mutual_rule(view),
        C::HostDeclaredTwice => policy::host_declared_twice(view),
        C::TlsFilesNamed => policy::files_named(view),
        C::VirtualServiceWithoutRetries => policy::without_retries(view),
        C::ServiceEntrySelectsPortModes => policy::service_entry_selects_port_modes(view),
        C::AuthorizationPattern => policy::authorization_pattern(view),
        C::GatewayCertificateOfAnotherNamespace => policy::gateway_certificate_elsewhere(view),
        C::PermissiveServerWithPlaintextClients => policy::permissive_with_plaintext_clients(view),
        C::MeshSetting(pointer) => Holds::told(
            view.installation.mesh_setting(pointer),
            "the mesh configuration (ConfigMap istio, or an IstioOperator)",
        ),
        C::IstiodEnvironment(it) => Holds::told(
            view.installation.environment(&it.name, it.is.as_deref()),
            "istiod's Deployment, or the Helm values",
        ),
        C::InstallValue(it) => Holds::told(
            view.installation.value(&it.at, it.is.as_deref()),
            "the Helm values or the IstioOperator of the installation",
        ),
        C::SeveralRoots => certificates::several_roots(view),
        C::CaExpiresWithinHours(hours) => certificates::authority_ends_within(*hours, view),
        C::SigningBundleIncomplete => certificates::bundle_incomplete(view),
        C::SigningBundleInvalid => certificates::bundle_invalid(view),
        C::SigningBundleHasCrl => certificates::bundle_has_crl(view),
        C::RootDiffersFromDistributed => certificates::root_differs(view),
        C::CertificateCurveBeyondP256 => Holds::some(
            view.certificates
                .all
                .iter()
                .filter(|it| it.is_beyond_p256)
                .map(|it| it.object),
        ),
        C::CertificateMalformed => {
            Holds::some(view.certificates.malformed.iter().map(|(object, ..)| *object))
        }
        C::ContainerImage(image) => installation::runs_image(image, view),
        C::ImageFrom(registries) => installation::image_from(registries, view),
        C::VolumeOfDriver(driver) => installation::volume_of_driver(driver, view),
        C::DaemonSet(name) => Holds::some(
            view.snapshot
                .objects()
                .map(|(object, _)| object)
                .filter(|it| it.kind == "DaemonSet" && it.name == *name),
        ),
        C::CustomInjectionTemplate => installation::custom_injection_template(view),
        C::SeveralClusters => installation::several_clusters(view),
        C::SeveralNetworks => installation::several_networks(view),
        C::ObjectOfKind(kind) => Holds::some(view.of_kind(kind).map(|(name, ..)| name)),
        C::ObjectAnnotated(it) => Holds::some(view.of_kind(&it.kind).filter_map(|(name, stored, _)| {
            let annotations = stored.object.metadata().annotations.as_ref()?;
            annotations.contains_key(&it.annotation).then_some(name)
        })),
    }
}

impl Holds {
    /// Yes if there is any such object.
    fn some<'o>(objects: impl Iterator<Item = &'o ObjectRef>) -> Self {
        let objects: Vec<ObjectRef> = objects.cloned().collect();
        if objects.is_empty() {
            Self::No
        } else {
            Self::Yes(objects)
        }
    }

    fn told(answer: crate::audit::installation::Answer, needs: &str) -> Self {
        use crate::audit::installation::Answer;
        match answer {
            Answer::Yes => Self::Yes(Vec::new()),
            Answer::No => Self::No,
            Answer::Unknown => Self::CannotTell(needs.to_owned()),
        }
    }
}
