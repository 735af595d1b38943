//! What istiod was recorded to send, in the shape in which it is compared.

use std::path::PathBuf;

use serde::Serialize as _;
use serde_json::{Map, Value, json};

use super::{UNDECLARED, alpn};

/// Parts of a recording that may be given as a difference to another one.
const PARTS: [(&str, &str); 6] = [
    ("client", "clusters"),
    ("client", "endpoints"),
    ("client", "listeners"),
    ("client", "routes"),
    ("server", "clusters"),
    ("server", "listeners"),
];

/// A recording with all its parts: those given as a difference are put together.
pub(super) fn recording(state: &str) -> Value {
    let mut recording = read(state);
    let Some(base) = recording["diff_to"].as_str().map(read) else {
        return recording;
    };
    for (end, part) in PARTS {
        let difference = recording["diff"][format!("{end}.{part}")].clone();
        let original = &base[end][part];
        let whole = match difference {
            Value::Array(lines) => patched(original, &lines),
            Value::String(_) => original.clone(),
            _ => continue,
        };
        recording[end][part] = whole;
    }
    recording
}

/// The compared shape: resources by name, the inbound listener taken apart by port. `fronts` pairs each listener of
/// ours with the one of istiod that it stands in for.
pub(super) fn document(recording: &Value, fronts: &[(&str, &str)]) -> Value {
    let (client, server) = (&recording["client"], &recording["server"]);
    let mut document = json!({"client": {
        "cluster_names": sorted(&client["all_cluster_names"]),
        "route_names": sorted(&client["rds_names"]),
        "clusters": by_name(&client["clusters"], "name"),
        "endpoints": endpoints(&client["endpoints"]),
        "listeners": under_fronts(&by_name(&client["listeners"], "name"), fronts),
        "routes": routes(&client["routes"]),
    }});
    document["client"]["request_alpn"] = alpn::of_istiod(&document["client"]);
    if server["listeners"].is_array() {
        document["server"] = json!({
            "clusters": by_name(&server["clusters"], "name"),
            "ports": ports(&server["listeners"][0]),
        });
    }
    document
}

/// A list of resources as an object.
pub(super) fn by_name(resources: &Value, key: &str) -> Value {
    let resources = resources.as_array().into_iter().flatten();
    let named = resources.map(|it| (it[key].as_str().unwrap().to_owned(), it.clone()));
    Value::Object(named.collect())
}

/// Endpoints by cluster. What follows namespace and name of an endpoint's workload is for telemetry alone.
pub(super) fn endpoints(assignments: &Value) -> Value {
    const WORKLOAD: &str = "/metadata/filter_metadata/istio/workload";
    let mut assignments = by_name(assignments, "cluster_name");
    for assignment in assignments.as_object_mut().unwrap().values_mut() {
        for locality in assignment["endpoints"].as_array_mut().into_iter().flatten() {
            for endpoint in locality["lb_endpoints"].as_array_mut().into_iter().flatten() {
                let workload = endpoint.pointer_mut(WORKLOAD).unwrap();
                let parts: Vec<&str> = workload.as_str().unwrap().split(';').take(2).collect();
                *workload = json!(parts.join(";"));
            }
        }
    }
    assignments
}

/// Route tables by name; of virtual hosts and domains the order means nothing.
pub(super) fn routes(tables: &Value) -> Value {
    let mut tables = by_name(tables, "name");
    for table in tables.as_object_mut().unwrap().values_mut() {
        let mut hosts = by_name(&table["virtual_hosts"], "name");
        for host in hosts.as_object_mut().unwrap().values_mut() {
            host["domains"] = sorted(&host["domains"]);
        }
        table["virtual_hosts"] = hosts;
    }
    tables
}

pub(super) fn sorted(names: &Value) -> Value {
    let names = names.as_array().into_iter().flatten();
    let mut names: Vec<&str> = names.filter_map(Value::as_str).collect();
    names.sort_unstable();
    json!(names)
}

fn read(state: &str) -> Value {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/istiod-xds");
    serde_json::from_str(&std::fs::read_to_string(data.join(format!("{state}.json"))).unwrap()).unwrap()
}

/// Applies a unified difference to the text of a value: keys sorted, indented by one.
fn patched(original: &Value, difference: &[Value]) -> Value {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
    original.serialize(&mut serializer).unwrap();
    let text = String::from_utf8(text).unwrap();
    let mut left = text.lines();
    let mut result = Vec::new();
    let mut at = 1;
    let lines = difference.iter().filter_map(Value::as_str);
    for line in lines.filter(|line| !line.starts_with("---") && !line.starts_with("+++")) {
        if let Some(hunk) = line.strip_prefix("@@ -") {
            let start: usize = hunk.split([',', ' ']).next().unwrap().parse().unwrap();
            result.extend(left.by_ref().take(start - at));
            at = start;
            continue;
        }
        let (sign, rest) = line.split_at(1);
        if sign == "+" {
            result.push(rest);
            continue;
        }
        let kept = left.next().unwrap();
        assert_eq!(kept, rest, "the difference is to another text");
        at += 1;
        if sign == " " {
            result.push(kept);
        }
    }
    result.extend(left);
    serde_json::from_str(&result.join("\n")).unwrap()
}

/// istiod's listeners by the front that stands in for each.
fn under_fronts(listeners: &Value, fronts: &[(&str, &str)]) -> Value {
    let pairs = fronts
        .iter()
        .filter_map(|(front, name)| Some(((*front).to_owned(), listeners.get(name)?.clone())));
    Value::Object(pairs.collect())
}

/// `virtualInbound` by port: the chains that match it and the listener filters that look at it.
fn ports(listener: &Value) -> Value {
    let ports = [7070, 8080, 9000, UNDECLARED].map(|port| (port.to_string(), of_port(listener, port)));
    Value::Object(ports.into_iter().collect::<Map<_, _>>())
}

fn of_port(listener: &Value, port: u16) -> Value {
    let mut listener = listener.clone();
    let filters = listener["listener_filters"].as_array_mut().unwrap();
    filters.retain(|filter| !matches_port(&filter["filter_disabled"], port));
    for filter in filters {
        filter.as_object_mut().unwrap().remove("filter_disabled");
    }
    let chains = listener["filter_chains"].as_array_mut().unwrap();
    let named = |chain: &Value| chain["filter_chain_match"]["destination_port"].as_u64();
    let declared = chains.iter().any(|chain| named(chain) == Some(port.into()));
    let wanted = declared.then_some(u64::from(port));
    chains.retain(|chain| named(chain) == wanted);
    for chain in chains {
        chain["filter_chain_match"]
            .as_object_mut()
            .unwrap()
            .remove("destination_port");
    }
    listener
}

/// Whether the predicate of a listener filter matches connections to a port.
fn matches_port(predicate: &Value, port: u16) -> bool {
    if let Some(rules) = predicate.pointer("/or_match/rules").and_then(Value::as_array) {
        return rules.iter().any(|rule| matches_port(rule, port));
    }
    let Some(range) = predicate.get("destination_port_range") else {
        assert!(predicate.is_null(), "a predicate of another kind: {predicate}");
        return false;
    };
    let bound = |key: &str| range[key].as_u64().unwrap_or_default();
    (bound("start")..bound("end")).contains(&u64::from(port))
}
