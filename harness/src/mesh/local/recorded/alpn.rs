//! Which ALPN protocols an HTTP request ends up offering: istiod says it through istio.alpn, we through a filter that
//! upstream Envoy has.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What istio.alpn makes of an HTTP/1.1 request (recorded: istio-alpn-decoded).
const OVERRIDDEN: &str = "istio-http/1.1,istio,http/1.1";
/// Where nothing is replaced.
const AS_CONFIGURED: &str = "as the TLS context says";
/// What stands in for istio.alpn.
const STAND_IN: &str = "envoy.filters.http.set_filter_state";

/// By cluster that an HTTP route leads to over TLS.
pub(super) fn of_istiod(client: &Value) -> Value {
    let mut managers = managers(client).peekable();
    // Recordings without listeners were made with the filter on.
    let filtered = managers.peek().is_none() || managers.all(|it| http_filter(it, "istio.alpn").is_some());
    of(client, |_, cluster| {
        let left_alone = cluster["metadata"]["filter_metadata"]["istio"]["alpn_override"] == "false";
        let overrides = filtered && !left_alone;
        if overrides { OVERRIDDEN } else { AS_CONFIGURED }.to_owned()
    })
}

/// The same of what we send.
pub(super) fn of_ours(client: &Value) -> Value {
    let offers: Vec<Value> = managers(client).map(offered).collect();
    assert!(
        !offers.is_empty() && offers.iter().all(|it| *it == offers[0]),
        "{offers:?}"
    );
    of(client, |route, _| {
        let disabled = route["typed_per_filter_config"][STAND_IN]["disabled"] == true;
        let offered = offers[0].as_str().unwrap();
        if disabled { AS_CONFIGURED } else { offered }.to_owned()
    })
}

fn of(client: &Value, offers: impl Fn(&Value, &Value) -> String) -> Value {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    for route in every(client, "routes")
        .flat_map(|table| every(table, "virtual_hosts"))
        .flat_map(|host| host["routes"].as_array().into_iter().flatten())
    {
        let action = &route["route"];
        let weighted = action
            .pointer("/weighted_clusters/clusters")
            .and_then(Value::as_array);
        let weighted = weighted
            .into_iter()
            .flatten()
            .filter_map(|it| it["name"].as_str());
        for name in action["cluster"].as_str().into_iter().chain(weighted) {
            let cluster = &client["clusters"][name];
            if cluster.get("transport_socket").is_some() || cluster.get("transport_socket_matches").is_some()
            {
                found.insert(name, offers(route, cluster));
            }
        }
    }
    json!(found)
}

/// The ALPN list that the stand-in of a connection manager sets.
fn offered(manager: &Value) -> Value {
    let filter = http_filter(manager, STAND_IN).unwrap();
    let values = filter["typed_config"]["on_request_headers"].as_array().unwrap();
    let key = "envoy.network.application_protocols";
    let value = values.iter().find(|it| it["object_key"] == key).unwrap();
    assert_eq!(value["shared_with_upstream"], "ONCE");
    value["format_string"]["text_format_source"]["inline_string"].clone()
}

/// The outbound connection managers: inbound ones have their routes built in.
fn managers(client: &Value) -> impl Iterator<Item = &Value> {
    every(client, "listeners")
        .flat_map(|listener| listener["filter_chains"].as_array().into_iter().flatten())
        .flat_map(|chain| chain["filters"].as_array().into_iter().flatten())
        .map(|filter| &filter["typed_config"])
        .filter(|config| config.get("rds").is_some())
}

fn http_filter<'a>(manager: &'a Value, name: &str) -> Option<&'a Value> {
    let filters = manager["http_filters"].as_array()?;
    filters.iter().find(|filter| filter["name"] == name)
}

fn every<'a>(value: &'a Value, part: &str) -> impl Iterator<Item = &'a Value> {
    value[part]
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::values)
}
