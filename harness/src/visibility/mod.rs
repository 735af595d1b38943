//! What the manifests in `manifests/visibility/` turn on of what Istio hides by default.
//!
//! They are what users apply. Whoever imitates their effect (the local tier, the exporter of a chaos run) reads it from
//! them, so that what is tested is what is applied.

use std::sync::LazyLock;

use regex::RegexSet;
use serde_json::Value;

/// The Telemetry: access logs of failing requests.
pub const TELEMETRY: &str = include_str!("../../../manifests/visibility/telemetry.yaml");
/// The EnvoyFilter: a listener access log with the reason why a handshake failed.
pub const ENVOY_FILTER: &str = include_str!("../../../manifests/visibility/envoyfilter.yaml");
/// The mesh configuration: statistics that name a failed handshake.
pub const MESH_CONFIG: &str = include_str!("../../../manifests/visibility/mesh-config.yaml");

/// A manifest lacks what it is for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("manifests/visibility/{file}: {what}")]
pub struct VisibilityError {
    file: &'static str,
    what: String,
}

/// Which access logs proxies write.
#[derive(Clone, Copy, Debug, Default)]
pub enum AccessLogs {
    /// Ours alone, from which calls are observed.
    #[default]
    Ours,
    /// Ours, and what Istio would have them write: as installed, in both encodings, and with these manifests applied.
    OursAndIstio(&'static Visibility),
    /// None, as Istio is installed. No call can be observed, with those below neither.
    Off,
    /// What Istio would have them write with `meshConfig.accessLogFile` set: a line of text for each request.
    AsInstalled,
    /// What Istio would have them write with these manifests applied.
    WithVisibility(&'static Visibility),
}

/// What the manifests turn on.
#[derive(Clone, Debug)]
pub struct Visibility {
    /// Which requests and connections are logged, as an expression of Envoy's attributes (CEL).
    pub logged: String,
    /// The listener access log: field and what Envoy puts there, by field.
    pub listener_format: Vec<(String, String)>,
    /// Which statistics are exported, by their full name.
    pub statistics: RegexSet,
}

impl Visibility {
    /// What the manifests that are built into meshproof turn on.
    ///
    /// # Errors
    /// When one lacks what it is for, which a test excludes.
    pub fn embedded() -> Result<&'static Self, VisibilityError> {
        static EMBEDDED: LazyLock<Result<Visibility, VisibilityError>> = LazyLock::new(Visibility::read);
        EMBEDDED.as_ref().map_err(Clone::clone)
    }

    fn read() -> Result<Self, VisibilityError> {
        let telemetry = Manifest::new("telemetry.yaml", TELEMETRY)?;
        let filter = Manifest::new("envoyfilter.yaml", ENVOY_FILTER)?;
        let mesh = Manifest::new("mesh-config.yaml", MESH_CONFIG)?;
        let log = "/spec/configPatches/0/patch/value/access_log/0/typed_config/log_format/json_format";
        let format = filter
            .at(log)?
            .as_object()
            .ok_or_else(|| filter.lacks(log))?
            .iter()
            .map(|(field, operator)| {
                let operator = operator.as_str().ok_or_else(|| filter.lacks(log))?;
                Ok((field.clone(), operator.to_owned()))
            })
            .collect::<Result<_, VisibilityError>>()?;
        let inclusion = "/meshConfig/defaultConfig/proxyStatsMatcher/inclusionRegexps";
        let inclusion = mesh
            .at(inclusion)?
            .as_array()
            .ok_or_else(|| mesh.lacks(inclusion))?;
        // Envoy matches the whole name.
        let whole = inclusion
            .iter()
            .filter_map(Value::as_str)
            .map(|it| format!("^(?:{it})$"));
        let statistics = RegexSet::new(whole).map_err(|error| VisibilityError {
            file: mesh.file,
            what: error.to_string(),
        })?;
        Ok(Self {
            logged: telemetry.text("/spec/accessLogging/0/filter/expression")?,
            listener_format: format,
            statistics,
        })
    }
}

struct Manifest {
    file: &'static str,
    object: Value,
}

impl Manifest {
    fn new(file: &'static str, text: &str) -> Result<Self, VisibilityError> {
        let object = serde_saphyr::from_str(text).map_err(|error| VisibilityError {
            file,
            what: error.to_string(),
        })?;
        Ok(Self { file, object })
    }

    fn at(&self, pointer: &str) -> Result<&Value, VisibilityError> {
        self.object.pointer(pointer).ok_or_else(|| self.lacks(pointer))
    }

    fn text(&self, pointer: &str) -> Result<String, VisibilityError> {
        let text = self.at(pointer)?.as_str();
        text.map(str::to_owned).ok_or_else(|| self.lacks(pointer))
    }

    fn lacks(&self, pointer: &str) -> VisibilityError {
        VisibilityError {
            file: self.file,
            what: format!("nothing usable at {pointer}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_turn_on_what_they_are_for() {
        let visibility = Visibility::embedded().unwrap();
        assert!(
            visibility.logged.contains("response.code"),
            "{}",
            visibility.logged
        );
        let reason = (
            "downstream_transport_failure_reason".to_owned(),
            "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%".to_owned(),
        );
        assert!(visibility.listener_format.contains(&reason));
        for (name, is_exported) in [
            ("listener.0.0.0.0_15006.ssl.fail_verify_san", true),
            (
                "cluster.outbound|8080||payment.payments.svc.cluster.local;.ssl.connection_error",
                true,
            ),
            ("listener.0.0.0.0_15006.no_filter_chain_match", true),
            ("cluster.a;.ssl.versions.TLSv1.3", false),
            ("cluster.a;.upstream_cx_total", false),
        ] {
            assert_eq!(visibility.statistics.is_match(name), is_exported, "{name}");
        }
    }
}
