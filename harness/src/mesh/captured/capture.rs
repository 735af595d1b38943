//! The rules of a pod's namespace: Istio's capture, what kube-proxy does, and what stands in the way.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use super::command::{IPTABLES, NetnsError};
use crate::envoy::config::{INBOUND_PORT, OUTBOUND_PORT};
use crate::fault::Obstacle;
use crate::network_namespace::NetworkNamespace;

/// The mark of what a proxy sends. istio-iptables tells it by the user id 1337; in a user namespace with a single user
/// there is no such id, and a mark says the same.
pub(super) const MARK: u32 = 1337;
/// Where a proxy's connections to its application come from (istiod's `InboundPassthroughBindIpv4`).
pub(super) const PASSTHROUGH_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
/// Where a silent port leads. Istio reserves the numbers around it.
pub(super) const SILENT_PORT: u16 = 15999;
/// The proxy's own ports, which istio-iptables leaves alone: telemetry, health, and HBONE.
const PORTS_OF_THE_PROXY: [u16; 4] = [15008, 15020, 15021, 15090];

/// What a pod's rules are made from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Rules {
    /// Whether Istio's init container ran.
    pub(super) captured: bool,
    /// Whether it left out what the application sends.
    pub(super) lets_calls_pass: bool,
    /// Where addresses of Services lead; `None` where there is no endpoint.
    pub(super) services: BTreeMap<SocketAddr, Option<SocketAddr>>,
    /// What stands in the way to its ports; `None` for all.
    pub(super) obstacles: BTreeMap<Option<u16>, Obstacle>,
}

/// Puts rules in the place of those that a namespace has. Connections that are already tracked keep what they were told.
pub(super) async fn enforce(namespace: &NetworkNamespace, rules: &Rules) -> Result<(), NetnsError> {
    IPTABLES.run(namespace, text(rules)).await
}

/// The rules, as iptables-restore takes them.
pub(super) fn text(rules: &Rules) -> String {
    let mut nat = Vec::new();
    let mut filter = Vec::new();
    for (port, obstacle) in &rules.obstacles {
        obstruct(*port, *obstacle, &mut nat, &mut filter);
    }
    if rules.captured {
        capture(rules.lets_calls_pass, &mut nat);
    }
    for (service, endpoint) in &rules.services {
        let service = format!("-d {}/32 -p tcp --dport {}", service.ip(), service.port());
        match endpoint {
            Some(endpoint) => nat.push(format!("-A OUTPUT {service} -j DNAT --to-destination {endpoint}")),
            None => filter.push(format!("-A OUTPUT {service} -j REJECT --reject-with tcp-reset")),
        }
    }
    let mut text = String::new();
    for (table, chains, rules) in [
        (
            "nat",
            ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"].as_slice(),
            nat,
        ),
        ("filter", ["INPUT", "FORWARD", "OUTPUT"].as_slice(), filter),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "*{table}");
        for chain in chains {
            let _ = writeln!(text, ":{chain} ACCEPT [0:0]");
        }
        for chain in rules.iter().filter_map(|rule| rule.strip_prefix("-A ISTIO_")) {
            let name = chain.split(' ').next().unwrap_or_default();
            let declared = format!(":ISTIO_{name} - [0:0]\n");
            if !text.contains(&declared) {
                text.push_str(&declared);
            }
        }
        let _ = writeln!(text, "{}\nCOMMIT", rules.join("\n"));
    }
    text
}

/// As istio-iptables writes it (tools/istio-iptables/pkg/capture/run.go@1.30.3), with a mark for its user id.
fn capture(lets_calls_pass: bool, nat: &mut Vec<String>) {
    let own = format!("-m mark --mark {MARK:#x}");
    let others = format!("-m mark ! --mark {MARK:#x}");
    nat.push(format!(
        "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports {OUTBOUND_PORT}"
    ));
    nat.push(format!(
        "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports {INBOUND_PORT}"
    ));
    for port in PORTS_OF_THE_PROXY {
        nat.push(format!("-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN"));
    }
    nat.extend([
        "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT".to_owned(),
        "-A PREROUTING -p tcp -j ISTIO_INBOUND".to_owned(),
        format!("-A ISTIO_OUTPUT -s {PASSTHROUGH_SOURCE}/32 -o lo -j RETURN"),
        format!("-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp ! --dport 15008 {own} -j ISTIO_IN_REDIRECT"),
        format!("-A ISTIO_OUTPUT -o lo {others} -j RETURN"),
        format!("-A ISTIO_OUTPUT {own} -j RETURN"),
        "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN".to_owned(),
    ]);
    if !lets_calls_pass {
        nat.push("-A ISTIO_OUTPUT -j ISTIO_REDIRECT".to_owned());
    }
    nat.push("-A OUTPUT -p tcp -j ISTIO_OUTPUT".to_owned());
}

/// By the port that was meant, whatever capture makes of it.
fn obstruct(port: Option<u16>, obstacle: Obstacle, nat: &mut Vec<String>, filter: &mut Vec<String>) {
    let meant = port.map(|port| format!(" -m conntrack --ctorigdstport {port}"));
    let meant = meant.unwrap_or_default();
    let called = port.map(|port| format!(" --dport {port}")).unwrap_or_default();
    let mut lead = |target: String| nat.push(format!("-A PREROUTING -i eth0 -p tcp{called} -j {target}"));
    match obstacle {
        Obstacle::BlackHole => filter.push(format!("-A INPUT -i eth0 -p tcp{meant} -j DROP")),
        Obstacle::Refusal => filter.push(format!(
            "-A INPUT -i eth0 -p tcp{meant} -j REJECT --reject-with tcp-reset"
        )),
        Obstacle::Silence => lead(format!("REDIRECT --to-ports {SILENT_PORT}")),
        Obstacle::Bypass => lead("ACCEPT".to_owned()),
        Obstacle::Misdirection(to) => lead(format!("REDIRECT --to-ports {to}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_those_of_istio_iptables_with_what_stands_in_the_way_before_them() {
        let service = |last| SocketAddr::from(([10, 96, 0, last], 8080));
        let rules = Rules {
            captured: true,
            lets_calls_pass: false,
            services: [
                (service(1), Some(([10, 244, 0, 2], 8080).into())),
                (service(2), None),
            ]
            .into(),
            obstacles: [
                (None, Obstacle::BlackHole),
                (Some(8080), Obstacle::Misdirection(9000)),
                (Some(9000), Obstacle::Bypass),
                (Some(9001), Obstacle::Silence),
                (Some(9002), Obstacle::Refusal),
            ]
            .into(),
        };
        insta::assert_snapshot!(text(&rules));
    }

    #[test]
    fn a_pod_without_a_sidecar_has_no_capture_and_one_may_leave_out_its_calls() {
        let captured = Rules {
            captured: true,
            ..Rules::default()
        };
        let passing = Rules {
            lets_calls_pass: true,
            ..captured.clone()
        };
        assert!(!text(&Rules::default()).contains("ISTIO"));
        let lost: Vec<String> = text(&captured)
            .lines()
            .filter(|line| !text(&passing).contains(line))
            .map(str::to_owned)
            .collect();
        assert_eq!(lost, ["-A ISTIO_OUTPUT -j ISTIO_REDIRECT"]);
    }
}
