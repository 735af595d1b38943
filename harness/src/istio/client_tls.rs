//! What the policies of a DestinationRule say about one service port.
//!
//! Sources: pilot/pkg/networking/util/util.go@1.30.3 (`MergeTrafficPolicy`), pilot/pkg/model/destination_rule.go@1.30.3,
//! pilot/pkg/xds/endpoints/mtls_checker.go@1.30.3.

use std::str::FromStr as _;

use semver::Version;
use serde_json::Value;

use super::destination_rule::Rule;
use super::releases;
use super::rule_id::RuleId;
use crate::snapshot::api::{
    ClientTlsSettings, ConnectionPool, LoadBalancer, PortTrafficPolicy, Subset, TlsMode, TrafficPolicy,
};

/// The policy in force for a cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effective<'a> {
    pub(super) tls: Option<&'a ClientTlsSettings>,
    /// Which part of the rule gave the TLS settings, or took them away.
    pub(super) rule: RuleId,
    connection_pool: Option<&'a ConnectionPool>,
    load_balancer: Option<&'a LoadBalancer>,
}

impl Default for Effective<'_> {
    /// Nothing is set.
    fn default() -> Self {
        Self {
            tls: None,
            rule: RuleId::DestinationRuleTrafficPolicy,
            connection_pool: None,
            load_balancer: None,
        }
    }
}

impl<'a> Effective<'a> {
    /// A port entry stands alone: what it leaves out is reset, not inherited. A subset overrides field by field, its
    /// port entry again as a whole.
    pub(super) fn of(rule: &'a Rule, subset: Option<&'a Subset>, port: u16) -> Self {
        let base = rule
            .traffic_policy
            .as_ref()
            .map(|policy| Self::base(policy, port))
            .unwrap_or_default();
        match subset.and_then(|subset| subset.traffic_policy.as_ref()) {
            Some(policy) => base.overridden(policy, port),
            None => base,
        }
    }

    /// Whether the address the application dialled is the endpoint.
    pub(super) fn is_passthrough(&self) -> bool {
        self.load_balancer.is_some_and(LoadBalancer::is_passthrough)
    }

    /// Whether HTTP/1.1 is upgraded to HTTP/2 towards the server.
    pub(super) fn upgrades_to_http2(&self) -> bool {
        let http = self.connection_pool.and_then(|pool| pool.http.as_ref());
        http.and_then(|http| http.get("h2UpgradePolicy"))
            .and_then(Value::as_str)
            == Some("UPGRADE")
    }

    /// `connectTimeout` in milliseconds.
    pub(super) fn connect_timeout_ms(&self) -> Option<u64> {
        let text = self.connection_pool?.tcp.as_ref()?.connect_timeout.as_deref()?;
        let duration = k8s_openapi::jiff::SignedDuration::from_str(text).ok()?;
        u64::try_from(duration.as_millis()).ok()
    }

    fn base(policy: &'a TrafficPolicy, port: u16) -> Self {
        match port_entry(policy, port) {
            Some(entry) => Self::entry(entry, RuleId::DestinationRulePortLevel),
            None => Self {
                tls: policy.tls.as_ref(),
                rule: RuleId::DestinationRuleTrafficPolicy,
                connection_pool: policy.connection_pool.as_ref(),
                load_balancer: policy.load_balancer.as_ref(),
            },
        }
    }

    fn entry(entry: &'a PortTrafficPolicy, rule: RuleId) -> Self {
        Self {
            tls: entry.tls.as_ref(),
            rule,
            connection_pool: entry.connection_pool.as_ref(),
            load_balancer: entry.load_balancer.as_ref(),
        }
    }

    fn overridden(self, policy: &'a TrafficPolicy, port: u16) -> Self {
        match port_entry(policy, port) {
            Some(entry) => Self::entry(entry, RuleId::DestinationRuleSubsetPortLevel),
            None => Self {
                tls: policy.tls.as_ref().or(self.tls),
                rule: if policy.tls.is_some() {
                    RuleId::DestinationRuleSubset
                } else {
                    self.rule
                },
                connection_pool: policy.connection_pool.as_ref().or(self.connection_pool),
                load_balancer: policy.load_balancer.as_ref().or(self.load_balancer),
            },
        }
    }
}

/// The TLS mode by which endpoints are marked. Unlike for the cluster, a port entry without TLS settings does not hide
/// those above it.
pub(super) fn endpoint_mode(
    rule: &Rule,
    subset: Option<&Subset>,
    port: u16,
    release: &Version,
) -> Option<TlsMode> {
    let of_rule = || rule.traffic_policy.as_ref().and_then(|policy| mode(policy, port));
    match subset {
        None => of_rule(),
        Some(subset) => {
            let of_subset = subset
                .traffic_policy
                .as_ref()
                .and_then(|policy| mode(policy, port));
            let falls_back = releases::endpoint_tls_falls_back_from_subset_to_rule(release);
            of_subset.or_else(|| falls_back.then(of_rule).flatten())
        }
    }
}

fn mode(policy: &TrafficPolicy, port: u16) -> Option<TlsMode> {
    let entry = policy
        .port_level_settings
        .iter()
        .find(|entry| is_for(entry, port) && entry.tls.is_some());
    entry
        .and_then(|entry| entry.tls.as_ref())
        .or(policy.tls.as_ref())
        .map(|tls| tls.mode)
}

fn port_entry(policy: &TrafficPolicy, port: u16) -> Option<&PortTrafficPolicy> {
    policy
        .port_level_settings
        .iter()
        .find(|entry| is_for(entry, port))
}

fn is_for(entry: &PortTrafficPolicy, port: u16) -> bool {
    entry.port.is_some_and(|it| it.number == u32::from(port))
}
