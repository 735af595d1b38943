//! Policy resolution held against what istiod 1.30.3 really sent for the same objects.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use meshproof::call::WorkloadName;
use meshproof::istio::Topology;
use meshproof::istio::policy::{
    ClientCertificate, ClientTls, Discovery, Inbound, InboundTransport, Outbound, TlsOrigination, Trust,
};
use meshproof::snapshot::Snapshot;
use semver::Version;
use serde_json::Value;

/// Every recording whose clusters, endpoints or inbound chains are recorded in full.
const STATES: &[&str] = &[
    "01-no-policy",
    "02-mesh-strict",
    "03-namespace-disable",
    "04a-workload-port-level",
    "04b-mesh-strict-port-disable-unset",
    "05a-dr-disable",
    "05b-dr-simple",
    "05b2-dr-simple-bare",
    "05c-dr-istio-mutual",
    "05d-dr-mutual-files",
    "05e-dr-mutual-credential",
    "05f-dr-portlevel",
    "05g-dr-wildcard-host",
    "06a-dr-subjectaltnames",
    "06b-dr-subset",
    "06c-dr-connection-pool",
    "09f-automtls-off-registry-only",
    "10a-headless-without-sidecar",
    "10b-headless-mixed",
];

/// Objects of a state that its recording describes in words only.
const ADDED: &[(&str, &str)] = &[(
    "10b-headless-mixed",
    "
apiVersion: v1
kind: Pod
metadata: {name: ledger-plain, namespace: payments, labels: {app: ledger, sidecar.istio.io/inject: 'false'}}
spec: {serviceAccountName: ledger, containers: [{name: app}]}
",
)];

#[test]
fn clusters_have_the_tls_settings_that_istiod_sent() {
    let mut compared = 0;
    for (state, recording, topology) in states() {
        for cluster in listed(&recording, "/client/clusters") {
            let name = cluster["name"].as_str().unwrap();
            let Some(outbound) = outbound(&topology, name) else {
                continue;
            };
            assert_eq!(rendered(&outbound), recorded(cluster), "{state} {name}");
            assert_eq!(
                outbound.connect_timeout_ms.unwrap_or(10_000),
                1000 * cluster["connect_timeout"]
                    .as_str()
                    .unwrap()
                    .trim_end_matches('s')
                    .parse::<u64>()
                    .unwrap(),
                "{state} {name}"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 83, "the recordings hold this many clusters of Services");
}

#[test]
fn endpoints_are_marked_as_istiod_marked_them() {
    let mut compared = 0;
    for (state, recording, topology) in states() {
        for assignment in listed(&recording, "/client/endpoints") {
            let name = assignment["cluster_name"].as_str().unwrap();
            let expected: Vec<(String, bool)> = listed(assignment, "/endpoints")
                .flat_map(|locality| listed(locality, "/lb_endpoints"))
                .map(|endpoint| {
                    let metadata = &endpoint["metadata"]["filter_metadata"];
                    let workload = metadata["istio"]["workload"]
                        .as_str()
                        .unwrap()
                        .split(';')
                        .next()
                        .unwrap();
                    let marked = metadata["envoy.transport_socket_match"]["tlsMode"] == "istio";
                    (workload.to_owned(), marked)
                })
                .collect();
            let outbound = outbound(&topology, name).unwrap();
            let ours: Vec<(String, bool)> = outbound
                .endpoints
                .iter()
                .map(|it| (it.pod.workload.name.clone(), it.tls_mode))
                .collect();
            assert_eq!(ours, expected, "{state} {name}");
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn inbound_chains_match_what_istiod_sent() {
    let mut compared = 0;
    for (state, recording, topology) in states() {
        let Some(listener) = listed(&recording, "/server/listeners").next() else {
            continue;
        };
        let mut by_port: BTreeMap<Option<u64>, Vec<Value>> = BTreeMap::new();
        for chain in listed(listener, "/filter_chains") {
            let port = chain
                .pointer("/filter_chain_match/destination_port")
                .and_then(Value::as_u64);
            by_port.entry(port).or_default().push(chain.clone());
        }
        by_port.remove(&Some(15006));
        for (port, expected) in by_port {
            // Any port that nobody declares shows the catch-all chains.
            let inbound = topology
                .inbound(
                    &WorkloadName::new("payments", "api-v1"),
                    port.map_or(12345, |it| it.try_into().unwrap()),
                )
                .unwrap();
            let expected: Vec<_> = expected.iter().map(recorded_chain).collect();
            assert_eq!(rendered_chains(&inbound), expected, "{state} {port:?}");
            // istiod names the catch-all group as port 0, which no connection has: an inspector that is off for it
            // still looks, to no effect.
            let inspected = |filter: &str| inspects(listener, filter, port.unwrap_or(0));
            assert_eq!(
                inbound.tls_inspector,
                inspected("tls_inspector"),
                "{state} {port:?} tls"
            );
            assert_eq!(
                inbound.http_inspector,
                inspected("http_inspector"),
                "{state} {port:?} http"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 20, "five recordings of four groups each");
}

#[test]
fn every_alias_repeats_the_names_that_both_ends_accept() {
    let recording = recording("09e-trust-domain-alias");
    let topology = topology("09e-trust-domain-alias", &recording);
    let added = |part: &str| -> BTreeSet<String> {
        let lines = recording["diff"][part]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str);
        let values = lines
            .filter(|line| line.starts_with('+'))
            .filter_map(|line| line.split('"').nth(3));
        values.map(str::to_owned).collect()
    };
    let ours: BTreeSet<String> = ["payments/api", "payments/ledger", "legacy/old"]
        .iter()
        .filter_map(|name| name.split_once('/'))
        .flat_map(|(namespace, name)| {
            topology.services[&(namespace.to_owned(), name.to_owned())]
                .identities
                .clone()
        })
        .filter(|identity| !identity.contains("cluster.local"))
        .collect();
    assert_eq!(ours, added("client.clusters"));
    let prefixes: BTreeSet<String> = topology
        .trust_domains()
        .iter()
        .skip(1)
        .map(|domain| format!("spiffe://{domain}/"))
        .collect();
    assert_eq!(prefixes, added("server.listeners"));
}

fn states() -> impl Iterator<Item = (&'static str, Value, Topology)> {
    STATES.iter().map(|state| {
        let recording = recording(state);
        let topology = topology(state, &recording);
        (*state, recording, topology)
    })
}

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn recording(state: &str) -> Value {
    let path = data().join("istiod-xds").join(format!("{state}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn topology(state: &str, recording: &Value) -> Topology {
    let mut snapshot = Snapshot::new(Version::new(1, 30, 3));
    snapshot
        .load_files(&[data().join("recorded-cluster.yaml")])
        .unwrap();
    if let Some(mesh) = recording["mesh_config_extra"].as_str() {
        let mesh = mesh.replace(", ", "\n").replace('\n', "\n    ");
        let mesh = mesh.replace(
            "outboundTrafficPolicy: REGISTRY_ONLY",
            "outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
        );
        let map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    {mesh}\n"
        );
        snapshot.add_yaml(&map, state).unwrap();
    }
    if let Some(manifests) = recording["manifests"].as_str() {
        snapshot.add_yaml(manifests, state).unwrap();
    }
    for (_, manifest) in ADDED.iter().filter(|(of, _)| *of == state) {
        snapshot.add_yaml(manifest, state).unwrap();
    }
    Topology::new(&snapshot, None)
}

/// Our answer for a cluster of a Service, by istiod's name for it.
fn outbound(topology: &Topology, cluster: &str) -> Option<Outbound> {
    let parts: Vec<&str> = cluster.split('|').collect();
    let ["outbound", port, subset, host] = parts.as_slice() else {
        return None;
    };
    let (service, rest) = host.split_once('.')?;
    let subset = (!subset.is_empty()).then_some(*subset);
    let client = WorkloadName::new("shop", "frontend");
    let found = topology.outbound(
        &client,
        rest.split('.').next()?,
        service,
        port.parse().ok()?,
        subset,
    );
    let found = found.unwrap_or_else(|| panic!("{cluster} is unknown to us"));
    assert_eq!(found.cluster_name(), cluster);
    Some(found)
}

/// A cluster as text lines: how endpoints are found and what TLS they get.
fn rendered(outbound: &Outbound) -> Vec<String> {
    let mut lines = vec![match outbound.discovery {
        Discovery::Eds => "EDS".to_owned(),
        Discovery::OriginalDst => "ORIGINAL_DST".to_owned(),
    }];
    match &outbound.tls {
        ClientTls::Plaintext => {}
        ClientTls::Auto(tls) => {
            lines.push(format!("tlsMode-istio: {}", rendered_tls(tls)));
            lines.push("tlsMode-disabled: plaintext".to_owned());
        }
        ClientTls::Fixed(tls) => lines.push(format!("all: {}", rendered_tls(tls))),
    }
    if let ClientTls::Auto(tls) | ClientTls::Fixed(tls) = &outbound.tls
        && (tls.auto_sni || tls.auto_san_validation)
    {
        lines.push(format!(
            "auto_sni {} auto_san_validation {}",
            tls.auto_sni, tls.auto_san_validation
        ));
    }
    lines
}

fn rendered_tls(tls: &TlsOrigination) -> String {
    let certificate = match &tls.certificate {
        ClientCertificate::None => String::new(),
        ClientCertificate::Workload => "default".to_owned(),
        ClientCertificate::Files { certificate, key } => format!("file-cert:{certificate}~{key}"),
    };
    let roots = match &tls.trust {
        Trust::Mesh => "ROOTCA".to_owned(),
        Trust::File(file) => format!("file-root:{file}"),
        Trust::System => "file-root:system".to_owned(),
        Trust::Nobody => String::new(),
    };
    let sni = tls.sni.as_deref().unwrap_or_default();
    format!(
        "certificate [{certificate}] roots [{roots}] sans {:?} sni [{sni}] alpn {:?}",
        tls.sans, tls.alpn
    )
}

fn recorded(cluster: &Value) -> Vec<String> {
    let mut lines = vec![cluster["type"].as_str().unwrap().to_owned()];
    for socket in listed(cluster, "/transport_socket_matches") {
        let tls = recorded_tls(&socket["transport_socket"]);
        lines.push(format!("{}: {tls}", socket["name"].as_str().unwrap()));
    }
    if let Some(socket) = cluster.get("transport_socket") {
        lines.push(format!("all: {}", recorded_tls(socket)));
    }
    let options = "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    if let Some(auto) = cluster.pointer(&format!("{options}/upstream_http_protocol_options")) {
        let is = |key: &str| auto[key].as_bool().unwrap_or_default();
        lines.push(format!(
            "auto_sni {} auto_san_validation {}",
            is("auto_sni"),
            is("auto_san_validation")
        ));
    }
    lines
}

fn recorded_tls(socket: &Value) -> String {
    if socket["name"] == "envoy.transport_sockets.raw_buffer" {
        return "plaintext".to_owned();
    }
    let context = &socket["typed_config"]["common_tls_context"];
    let secrets = listed(context, "/tls_certificate_sds_secret_configs");
    let certificate: String = secrets.filter_map(|it| it["name"].as_str()).collect();
    let validation = &context["combined_validation_context"];
    let roots = validation["validation_context_sds_secret_config"]["name"]
        .as_str()
        .unwrap_or_default();
    let sans: Vec<&str> = listed(validation, "/default_validation_context/match_subject_alt_names")
        .map(|san| san["exact"].as_str().unwrap())
        .collect();
    let sni = socket["typed_config"]["sni"].as_str().unwrap_or_default();
    // Recorded with metadata exchange on, which upstream proxies do not have.
    let alpn: Vec<&str> = listed(context, "/alpn_protocols")
        .filter_map(Value::as_str)
        .filter(|protocol| *protocol != "istio-peer-exchange")
        .collect();
    format!("certificate [{certificate}] roots [{roots}] sans {sans:?} sni [{sni}] alpn {alpn:?}")
}

/// Transport, ALPN, whether TLS is terminated, whether HTTP is read.
type Chain = (&'static str, Vec<String>, bool, bool);

fn rendered_chains(inbound: &Inbound) -> Vec<Chain> {
    let chains = inbound.chains.iter().map(|chain| {
        let transport = match chain.transport {
            InboundTransport::Tls => "tls",
            InboundTransport::RawBuffer => "raw_buffer",
        };
        let alpn = chain.alpn.iter().map(|&it| it.to_owned()).collect();
        (transport, alpn, chain.terminates_mtls, chain.http)
    });
    chains.collect()
}

fn recorded_chain(chain: &Value) -> Chain {
    let transport = match chain["filter_chain_match"]["transport_protocol"].as_str() {
        Some("tls") => "tls",
        _ => "raw_buffer",
    };
    let alpn = listed(chain, "/filter_chain_match/application_protocols");
    let alpn = alpn.filter_map(Value::as_str).map(str::to_owned).collect();
    let http = listed(chain, "/filters")
        .any(|filter| filter["name"] == "envoy.filters.network.http_connection_manager");
    (transport, alpn, chain.get("transport_socket").is_some(), http)
}

/// Whether a listener filter looks at connections to a port.
fn inspects(listener: &Value, filter: &str, port: u64) -> bool {
    let name = format!("envoy.filters.listener.{filter}");
    let Some(filter) = listed(listener, "/listener_filters").find(|it| it["name"] == name.as_str()) else {
        return false;
    };
    let disabled = &filter["filter_disabled"];
    let rules: Vec<&Value> = match disabled.pointer("/or_match/rules") {
        Some(rules) => rules.as_array().unwrap().iter().collect(),
        None => vec![disabled],
    };
    !rules.iter().any(|rule| {
        let range = &rule["destination_port_range"];
        let bound = |key: &str| range[key].as_u64().unwrap_or_default();
        (bound("start")..bound("end")).contains(&port)
    })
}

fn listed<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
