//! What of an object changes, and how it is shown.

use serde_json::{Map, Value, json};

use crate::kubernetes::{Resource, anew};

const DESTINATION_RULES: Resource = Resource {
    group: "networking.istio.io",
    versions: &["v1", "v1beta1", "v1alpha3"],
    plural: "destinationrules",
    kind: "DestinationRule",
};

const PEER_AUTHENTICATIONS: Resource = Resource {
    group: "security.istio.io",
    versions: &["v1", "v1beta1"],
    plural: "peerauthentications",
    kind: "PeerAuthentication",
};

/// The resources whose objects may be changed.
pub(super) fn resource(kind: &str) -> Option<&'static Resource> {
    [&DESTINATION_RULES, &PEER_AUTHENTICATIONS]
        .into_iter()
        .find(|it| it.kind == kind)
}

/// Whether nothing is lost with an object but what it says of TLS; else what is.
pub(super) fn may_go(object: &Value) -> Result<(), &'static str> {
    if object["kind"] != DESTINATION_RULES.kind {
        return Ok(());
    }
    let spec = &object["spec"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if !list(&spec["subsets"]).is_empty() {
        return Err("defines subsets, which routes may lead to");
    }
    let policy = &spec["trafficPolicy"];
    let ports = list(&policy["portLevelSettings"]);
    let is_of_tls = |policy: &Value, known: &[&str]| {
        let fields = policy.as_object().into_iter().flat_map(Map::keys);
        fields.into_iter().all(|it| known.contains(&it.as_str()))
    };
    let is_all = is_of_tls(policy, &["tls", "portLevelSettings"])
        && ports.iter().all(|it| is_of_tls(it, &["tls", "port"]));
    match is_all {
        true => Ok(()),
        false => Err("says more than TLS, which would be lost"),
    }
}

/// The fields of a DestinationRule by which its clients speak mTLS wherever it sets anything: an entry of a port or subset
/// replaces what stands above it. Lists are applied as a whole, for Istio's CRDs give them no keys.
pub(super) fn mutual(rule: &Value) -> Result<Value, &'static str> {
    let spec = &rule["spec"];
    let mut fields = json!({"trafficPolicy": spec["trafficPolicy"]});
    set(&mut fields["trafficPolicy"])?;
    if let Some(subsets) = spec["subsets"].as_array() {
        let mut subsets = subsets.clone();
        for subset in subsets.iter_mut().filter(|it| !it["trafficPolicy"].is_null()) {
            set(&mut subset["trafficPolicy"])?;
        }
        fields["subsets"] = subsets.into();
    }
    Ok(json!({"spec": fields}))
}

fn set(policy: &mut Value) -> Result<(), &'static str> {
    set_one(policy)?;
    let ports = policy.get_mut("portLevelSettings").and_then(Value::as_array_mut);
    ports.into_iter().flatten().try_for_each(set_one)
}

fn set_one(policy: &mut Value) -> Result<(), &'static str> {
    // An apply takes no field away that another manager has set, and ISTIO_MUTUAL allows no other beside it.
    let tls = policy["tls"].as_object().into_iter().flat_map(Map::keys);
    if tls.into_iter().any(|it| it != "mode") {
        return Err("says more of TLS than its mode");
    }
    policy["tls"] = json!({"mode": "ISTIO_MUTUAL"});
    Ok(())
}

/// An object as YAML, for people.
pub(super) fn text(object: &Value) -> String {
    let mut object = anew(object);
    // Where kubectl keeps what it applied last: the same once more, on one long line.
    if let Some(annotations) = object
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        if annotations.is_empty() {
            object["metadata"]["annotations"].take();
        }
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|_, value| !value.is_null());
    }
    serde_saphyr::to_string(&object).unwrap_or_else(|_| object.to_string())
}

/// Whether an object says what another does.
pub(super) fn is_like(object: &Value, other: Option<&Value>) -> bool {
    other.is_some_and(|it| it["spec"] == object["spec"])
}

/// Who manages fields of an object and is no command that a person types.
pub(super) fn controllers(object: &Value) -> Vec<String> {
    let managers = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let names = managers
        .into_iter()
        .flatten()
        .filter_map(|it| it["manager"].as_str());
    let mut found: Vec<String> = names
        .filter(|it| !it.starts_with("kubectl") && *it != "meshproof")
        .map(str::to_owned)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_goes_only_if_it_says_nothing_but_tls() {
        let rule = |spec: Value| json!({"kind": "DestinationRule", "spec": spec});
        let tls = json!({"mode": "DISABLE"});
        for (spec, may_go_with) in [
            (json!({"host": "a", "trafficPolicy": {"tls": tls}}), true),
            (
                json!({"host": "a", "trafficPolicy": {"portLevelSettings": [{"port": {"number": 1}, "tls": tls}]}}),
                true,
            ),
            (
                json!({"host": "a", "trafficPolicy": {"tls": tls, "outlierDetection": {}}}),
                false,
            ),
            (
                json!({"host": "a", "trafficPolicy": {"tls": tls}, "subsets": [{"name": "v1"}]}),
                false,
            ),
        ] {
            assert_eq!(may_go(&rule(spec.clone())).is_ok(), may_go_with, "{spec}");
        }
    }

    #[test]
    fn mtls_is_set_wherever_a_rule_sets_anything_and_only_where_the_mode_is_all_it_says() {
        let rule = json!({"spec": {"host": "a", "trafficPolicy": {
            "loadBalancer": {"simple": "RANDOM"}, "portLevelSettings": [{"port": {"number": 1}}]},
            "subsets": [{"name": "plain", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}, {"name": "bare"}]}});
        let tls = json!({"mode": "ISTIO_MUTUAL"});
        assert_eq!(
            mutual(&rule),
            Ok(json!({"spec": {"trafficPolicy": {
                "loadBalancer": {"simple": "RANDOM"}, "portLevelSettings": [{"port": {"number": 1}, "tls": tls}], "tls": tls},
                "subsets": [{"name": "plain", "trafficPolicy": {"tls": tls}}, {"name": "bare"}]}}))
        );
        let own =
            json!({"spec": {"trafficPolicy": {"tls": {"mode": "MUTUAL", "caCertificates": "/ca.pem"}}}});
        assert_eq!(mutual(&own), Err("says more of TLS than its mode"));
    }
}
