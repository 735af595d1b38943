//! What Envoy shows of what it was told, in the shape in which it is compared.

use serde_json::{Map, Value, json};

use super::alpn;
use super::istiod::{by_name, endpoints, routes, sorted};

/// The configuration dumps of a client and a server, cut down to what `recorded` has.
pub(super) fn document(client: &Value, server: &Value, recorded: &Value) -> Value {
    let clusters = by_name(
        &resources(client, "ClustersConfigDump", "dynamic_active_clusters", "cluster"),
        "name",
    );
    let tables = resources(
        client,
        "RoutesConfigDump",
        "dynamic_route_configs",
        "route_config",
    );
    let assignments = resources(
        client,
        "EndpointsConfigDump",
        "dynamic_endpoint_configs",
        "endpoint_config",
    );
    let mut document = json!({"client": {
        "cluster_names": names(&clusters),
        "route_names": names(&by_name(&tables, "name")),
        "clusters": clusters,
        "endpoints": endpoints(&assignments),
        "listeners": by_name(&listeners(client), "name"),
        "routes": routes(&tables),
    }});
    if !recorded["server"].is_null() {
        let clusters = resources(server, "ClustersConfigDump", "dynamic_active_clusters", "cluster");
        let ports = by_name(&listeners(server), "name");
        document["server"] = json!({
            "clusters": by_name(&clusters, "name"),
            "ports": ports.as_object().unwrap().iter().filter_map(|(name, listener)| {
                Some((name.strip_prefix("virtualInbound_")?.to_owned(), listener.clone()))
            }).collect::<Map<_, _>>(),
        });
    }
    // Recordings hold what the state is about.
    keep(&mut document, recorded, "/client/clusters");
    for (name, table) in recorded["client"]["routes"].as_object().unwrap() {
        // Some hold a part of a table.
        if table["virtual_hosts"]
            .get("frontend.shop.svc.cluster.local:8080")
            .is_none()
        {
            keep(
                &mut document,
                recorded,
                &format!("/client/routes/{name}/virtual_hosts"),
            );
        }
    }
    document["client"]["request_alpn"] = alpn::of_ours(&document["client"]);
    for part in [
        "/client/endpoints",
        "/client/listeners",
        "/client/routes",
        "/server/clusters",
    ] {
        keep(&mut document, recorded, part);
    }
    document
}

/// The resources of one kind that are in force: those that warm or drain are in other places.
fn resources(dump: &Value, section: &str, list: &str, resource: &str) -> Value {
    let kind = format!("type.googleapis.com/envoy.admin.v3.{section}");
    let sections = dump["configs"].as_array().unwrap();
    let section = sections.iter().find(|it| it["@type"] == kind.as_str()).unwrap();
    let entries = section[list].as_array().into_iter().flatten();
    let mut found: Vec<Value> = entries.filter_map(|entry| entry.get(resource).cloned()).collect();
    for resource in &mut found {
        // Inside of an Any only because the dump is.
        resource.as_object_mut().unwrap().remove("@type");
    }
    Value::Array(found)
}

fn listeners(dump: &Value) -> Value {
    let states = resources(dump, "ListenersConfigDump", "dynamic_listeners", "active_state");
    let states = states.as_array().unwrap().iter();
    let mut listeners: Vec<Value> = states.map(|state| state["listener"].clone()).collect();
    for listener in &mut listeners {
        listener.as_object_mut().unwrap().remove("@type");
    }
    Value::Array(listeners)
}

fn names(resources: &Value) -> Value {
    sorted(&json!(resources.as_object().unwrap().keys().collect::<Vec<_>>()))
}

/// Leaves only the entries that the recording has too.
fn keep(document: &mut Value, recorded: &Value, part: &str) {
    let ours = document.pointer_mut(part).and_then(Value::as_object_mut);
    if let (Some(ours), Some(theirs)) = (ours, recorded.pointer(part)) {
        ours.retain(|name, _| theirs.get(name).is_some());
    }
}
