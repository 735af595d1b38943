use std::collections::BTreeMap;

use super::{Conditions, Fault, History, Obstacle, Restart, RestartStep, Rotation};
use crate::call::WorkloadName;
use crate::outcome::Side;
use crate::pki::{LeafKey, LeafUsage, Revocation, RootName, Supply, Validity, WorkloadCredentials};

const PAYMENT: &str = "spiffe://cluster.local/ns/payments/sa/payment";

fn identities() -> BTreeMap<WorkloadName, String> {
    ["checkout", "payment"]
        .into_iter()
        .map(|name| {
            let identity = format!("spiffe://cluster.local/ns/payments/sa/{name}");
            (WorkloadName::new("payments", name), identity)
        })
        .collect()
}

/// What `payment` holds after these faults (`- kind: {…}`) and rotations, written as in a scenario.
fn payment_after(events: &[serde_json::Value]) -> WorkloadCredentials {
    let identities = identities();
    let mut history = History::default();
    for event in events {
        match serde_json::from_value::<Fault>(event.clone()) {
            Ok(fault) => history.inject(&fault, identities.keys()).unwrap(),
            Err(_) => {
                let step: Rotation = serde_json::from_value(event.clone()).unwrap();
                history.rotate(&step, identities.keys()).unwrap();
            }
        }
    }
    let mut conditions = Conditions::of(&identities, &history);
    conditions
        .credentials
        .workloads
        .remove(&WorkloadName::new("payments", "payment"))
        .unwrap()
}

fn yaml(text: &str) -> Vec<serde_json::Value> {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn each_fault_breaks_exactly_one_thing() {
    let healthy = || WorkloadCredentials::healthy(PAYMENT);
    let table = [
        ("san-suffix: {workload: payment, suffix: '.'}", {
            let mut c = healthy();
            c.identity = format!("{PAYMENT}.");
            c
        }),
        (
            "san-replace: {workload: payments/payment, san: 'spiffe://other'}",
            {
                let mut c = healthy();
                c.identity = "spiffe://other".to_owned();
                c
            },
        ),
        ("expiring-leaf: {workload: payment}", {
            let mut c = healthy();
            c.short_lived = true;
            c
        }),
        ("expired-leaf: {workload: [payment, checkout]}", {
            let mut c = healthy();
            c.leaf = Validity::Expired;
            c
        }),
        ("not-yet-valid-leaf: {workload: payment}", {
            let mut c = healthy();
            c.leaf = Validity::NotYetValid;
            c
        }),
        ("expired-intermediate: {}", {
            let mut c = healthy();
            c.intermediate = Validity::Expired;
            c
        }),
        ("trust-domain: {workload: payment, domain: old.example}", {
            let mut c = healthy();
            c.identity = "spiffe://old.example/ns/payments/sa/payment".to_owned();
            c
        }),
        ("revoked-leaf: {workload: payment}", {
            let mut c = healthy();
            (c.revoked, c.revocation) = (true, Revocation::Current);
            c
        }),
        ("revoked-leaf: {workload: checkout}", {
            let mut c = healthy();
            c.revocation = Revocation::Current;
            c
        }),
        ("revoked-intermediate: {workload: payment}", {
            let mut c = healthy();
            (c.intermediate_is_revoked, c.revocation) = (true, Revocation::Current);
            c
        }),
        ("not-yet-valid-intermediate: {}", {
            let mut c = healthy();
            c.intermediate = Validity::NotYetValid;
            c
        }),
        ("expired-crl: {}", {
            let mut c = healthy();
            c.revocation = Revocation::Expired;
            c
        }),
        ("missing-crl: {workload: payment}", {
            let mut c = healthy();
            c.revocation = Revocation::WithoutRoot;
            c
        }),
        ("key-encipherment-only: {workload: payment}", {
            let mut c = healthy();
            c.key = LeafKey::Rsa2048;
            c.usage.digital_signature = false;
            c
        }),
        ("extended-key-usage: {workload: payment, only: server-auth}", {
            let mut c = healthy();
            c.usage = LeafUsage {
                client_auth: false,
                ..LeafUsage::default()
            };
            c
        }),
        ("leaf-key: {workload: payment, key: ecdsa-p384}", {
            let mut c = healthy();
            c.key = LeafKey::EcdsaP384;
            c
        }),
        ("missing-intermediate: {}", {
            let mut c = healthy();
            c.serves_intermediate = false;
            c
        }),
        ("missing-secret: {workload: payment, secret: roots}", {
            let mut c = healthy();
            c.supply = Supply {
                certificate: true,
                roots: false,
            };
            c
        }),
        ("expired-leaf: {workload: checkout}", healthy()),
        ("expired-root: {}", healthy()),
        ("foreign-root: {workload: payment}", {
            let mut c = healthy();
            c.issuer = RootName("foreign:foreign-root".to_owned());
            c
        }),
    ];
    for (fault, expected) in table {
        assert_eq!(payment_after(&yaml(&format!("- {fault}"))), expected, "{fault}");
    }
}

#[test]
fn reissuing_a_leaf_heals_what_came_before_it_and_belongs_to_the_leaf() {
    for fault in [
        "expired-leaf: {workload: payment}",
        "san-suffix: {workload: payment, suffix: '.'}",
        "foreign-root: {workload: payment}",
        "trust-domain: {workload: payment, domain: old.example}",
        "key-encipherment-only: {workload: payment}",
        "extended-key-usage: {workload: payment, only: client-auth}",
        "leaf-key: {workload: payment, key: rsa-2048}",
    ] {
        let healed = payment_after(&yaml(&format!("- {fault}\n- leaf: {{workload: payment}}")));
        let expected = WorkloadCredentials {
            generation: 1,
            ..WorkloadCredentials::healthy(PAYMENT)
        };
        assert_eq!(healed, expected, "{fault}");
    }
}

#[test]
fn a_fault_that_comes_after_the_rotation_holds() {
    let broken = payment_after(&yaml("- leaf: {}\n- expired-leaf: {workload: payment}"));
    assert_eq!((broken.leaf, broken.generation), (Validity::Expired, 1));
}

#[test]
fn reissuing_a_leaf_does_not_heal_the_intermediate_but_reissuing_that_does() {
    let broken = "- expired-intermediate: {}\n- leaf: {}";
    assert_eq!(payment_after(&yaml(broken)).intermediate, Validity::Expired);
    let renewed = payment_after(&yaml(&format!("{broken}\n- intermediate: {{}}")));
    assert_eq!((renewed.intermediate, renewed.generation), (Validity::Current, 2));
}

#[test]
fn a_revoked_certificate_is_replaced_and_the_lists_stay() {
    let renewed = payment_after(&yaml("- revoked-leaf: {workload: payment}\n- leaf: {}"));
    assert_eq!(
        (renewed.revoked, renewed.revocation),
        (false, Revocation::Current)
    );
}

#[test]
fn a_missing_intermediate_comes_with_a_new_chain_and_not_with_a_new_leaf() {
    let broken = "- missing-intermediate: {}\n- leaf: {}";
    assert!(!payment_after(&yaml(broken)).serves_intermediate);
    assert!(payment_after(&yaml(&format!("{broken}\n- intermediate: {{}}"))).serves_intermediate);
}

#[test]
fn a_bundle_cut_to_one_root_stays_so_through_a_rotation() {
    let named = |name: &str| vec![RootName(name.to_owned())];
    for (fault, kept) in [("old-root-only", "mesh"), ("last-root-only", "renewed")] {
        for text in [
            format!("- trust: {{root: renewed}}\n- {fault}: {{}}"),
            format!("- {fault}: {{}}\n- trust: {{root: renewed}}"),
        ] {
            assert_eq!(payment_after(&yaml(&text)).bundle, named(kept), "{text}");
        }
    }
}

#[test]
fn rotations_pass_by_a_stuck_agent_until_it_is_freed() {
    let rotation = "- trust: {root: renewed}\n- leaf: {root: renewed}\n- retire: {root: mesh}";
    let stuck = payment_after(&yaml(&format!(
        "- stuck-agent: {{workload: payment}}\n{rotation}"
    )));
    assert_eq!(stuck, WorkloadCredentials::healthy(PAYMENT));
    let freed = payment_after(&yaml(rotation));
    assert_eq!(freed.issuer.0, "renewed");
}

#[test]
fn limits_of_one_workload_add_up() {
    let identities = identities();
    let mut history = History::default();
    for text in [
        "tls-limits: {workload: payment, end: server, maxVersion: '1.2'}",
        "tls-limits: {workload: payment, name: more, groups: [P-384]}",
    ] {
        let fault: Fault = serde_saphyr::from_str(text).unwrap();
        history.inject(&fault, identities.keys()).unwrap();
    }
    let conditions = Conditions::of(&identities, &history);
    let payment = WorkloadName::new("payments", "payment");
    let shown = [Side::Client, Side::Server].map(|end| {
        let limits = conditions.limits(&payment, end).unwrap();
        (limits.max_version.is_some(), limits.groups.len())
    });
    assert_eq!(shown, [(false, 1), (true, 1)]);
}

#[test]
fn an_obstacle_stands_before_the_port_it_names_or_before_all() {
    let identities = identities();
    let mut history = History::default();
    for text in [
        "black-hole: {workload: payment}",
        "silent-port: {workload: payment, port: 9000}",
    ] {
        let fault: Fault = serde_saphyr::from_str(text).unwrap();
        history.inject(&fault, identities.keys()).unwrap();
    }
    let conditions = Conditions::of(&identities, &history);
    let before = |name, port| conditions.obstacle(&WorkloadName::new("payments", name), port);
    assert_eq!(before("payment", 8080), Some(Obstacle::BlackHole));
    assert_eq!(before("payment", 9000), Some(Obstacle::Silence));
    assert_eq!(before("checkout", 8080), None);
}

#[test]
fn a_root_is_replaced_by_trusting_then_reissuing_then_retiring() {
    let rotated = payment_after(&yaml(
        "- expired-root: {root: mesh}\n- trust: {root: renewed}\n- leaf: {root: renewed}\n- retire: {root: mesh}",
    ));
    assert_eq!(rotated.issuer.0, "renewed");
    assert_eq!(rotated.bundle, [RootName("renewed".to_owned())]);
}

#[test]
fn a_healed_fault_leaves_no_trace() {
    let identities = identities();
    let mut history = History::default();
    let fault: Fault = serde_saphyr::from_str("expired-leaf: {workload: payment, name: stale}").unwrap();
    history.inject(&fault, identities.keys()).unwrap();
    assert_eq!(history.active().map(Fault::name).collect::<Vec<_>>(), ["stale"]);
    assert!(history.heal("stale"));
    assert!(!history.heal("stale"));
    assert_eq!(history, History::default());
}

#[test]
fn an_expired_root_is_expired_for_everybody() {
    let identities = identities();
    let mut history = History::default();
    let fault: Fault = serde_saphyr::from_str("expired-root: {}").unwrap();
    history.inject(&fault, identities.keys()).unwrap();
    let roots = Conditions::of(&identities, &history).credentials.roots;
    assert_eq!(roots, [(RootName::default(), Validity::Expired)].into());
}

#[test]
fn a_leaf_that_expires_while_in_use_is_current_until_time_has_passed() {
    let identities = identities();
    let payment = WorkloadName::new("payments", "payment");
    let fault: Fault = serde_saphyr::from_str("expiring-leaf: {workload: payment}").unwrap();
    let renewal: Rotation = serde_saphyr::from_str("leaf: {}").unwrap();
    let mut history = History::default();
    let mut seen = Vec::new();
    let mut look = |history: &History| {
        let held = &Conditions::of(&identities, history).credentials.workloads[&payment];
        seen.push((held.short_lived, held.leaf));
    };
    history.inject(&fault, identities.keys()).unwrap();
    look(&history);
    history.elapse();
    look(&history);
    history.rotate(&renewal, identities.keys()).unwrap();
    look(&history);
    // The next one has its own end, which has not come.
    history.inject(&fault, identities.keys()).unwrap();
    look(&history);
    assert_eq!(
        seen,
        [
            (true, Validity::Current),
            (true, Validity::Expired),
            (false, Validity::Current),
            (true, Validity::Current),
        ]
    );
}

#[test]
fn a_root_is_replaced_by_the_steps_that_it_stands_for() {
    let names: Vec<WorkloadName> = identities().into_keys().collect();
    let steps = |text: &str| {
        let rotation: Rotation = serde_saphyr::from_str(text).unwrap();
        rotation
            .steps(&names)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        steps("root: {to: second, overlap: true}"),
        [
            "bundles: add root second",
            "leaves of everybody, from root second",
            "bundles: drop root mesh"
        ]
    );
    assert_eq!(
        steps("root: {to: second, overlap: false}"),
        [
            "bundles and leaves of payments/checkout, from root second",
            "bundles and leaves of payments/payment, from root second"
        ]
    );
    for (at_once, written_out) in [
        (
            "- root: {to: second, overlap: true}",
            "- trust: {root: second}\n- leaf: {root: second}\n- retire: {root: mesh}",
        ),
        (
            "- root: {to: second, overlap: false}",
            "- cutover: {root: second}",
        ),
    ] {
        assert_eq!(
            payment_after(&yaml(at_once)),
            payment_after(&yaml(written_out)),
            "{at_once}"
        );
    }
}

#[test]
fn a_new_intermediate_is_not_the_one_that_was_revoked_and_new_leaves_are_not_enough() {
    let revoked = "- revoked-intermediate: {}\n- leaf: {}\n";
    assert!(payment_after(&yaml(revoked)).intermediate_is_revoked);
    let renewed = payment_after(&yaml(&format!("{revoked}- intermediate: {{}}")));
    assert_eq!(
        (renewed.intermediate_is_revoked, renewed.intermediate_generation),
        (false, 1)
    );
}

/// The steps of a restart of `payment` with two pods, and what each leaves behind after these faults.
fn restarted(restart: &str, faults: &str) -> Vec<(String, Conditions)> {
    let identities = identities();
    let mut history = History::default();
    for fault in yaml(faults) {
        let fault: Fault = serde_json::from_value(fault).unwrap();
        history.inject(&fault, identities.keys()).unwrap();
    }
    let restart: Restart = serde_saphyr::from_str(restart).unwrap();
    let steps = restart.steps(identities.keys().map(|name| (name, 2))).unwrap();
    let left = steps.into_iter().map(|step: RestartStep| {
        history.restart(step.clone());
        (step.to_string(), Conditions::of(&identities, &history))
    });
    left.collect()
}

#[test]
fn a_graceful_restart_takes_one_pod_out_at_a_time_and_another_takes_all() {
    let payment = WorkloadName::new("payments", "payment");
    let unready = |conditions: &Conditions| {
        conditions
            .unready
            .iter()
            .map(|pod| pod.ordinal)
            .collect::<Vec<_>>()
    };
    let shown = |restart: &str| {
        let left = restarted(restart, "[]").into_iter();
        left.map(|(step, left)| (step, unready(&left), left.obstacle(&payment, 8080)))
            .collect::<Vec<_>>()
    };
    let expected = [
        ("payments/payment-0 leaves its Services", vec![0]),
        ("payments/payment-0 is replaced", vec![0]),
        ("payments/payment-0 is ready", vec![]),
        ("payments/payment-1 leaves its Services", vec![1]),
        ("payments/payment-1 is replaced", vec![1]),
        ("payments/payment-1 is ready", vec![]),
    ];
    let expected = expected.map(|(step, unready)| (step.to_owned(), unready, None));
    assert_eq!(shown("{workload: payment, graceful: true}"), expected);
    let expected = [
        ("payments/payment is killed", Some(Obstacle::Refusal)),
        ("payments/payment is back", None),
    ];
    let expected = expected.map(|(step, obstacle)| (step.to_owned(), vec![], obstacle));
    assert_eq!(shown("{workload: payment, graceful: false}"), expected);
    for graceful in [true, false] {
        let (_, last) = restarted(&format!("{{workload: payment, graceful: {graceful}}}"), "[]")
            .pop()
            .unwrap();
        let restarts: Vec<u32> = last.restarts.into_values().collect();
        assert_eq!(
            (restarts, last.killed.len()),
            (vec![1, 1], 0),
            "graceful: {graceful}"
        );
    }
}

#[test]
fn new_pods_ask_for_new_leaves_and_get_none_where_their_agents_cannot_reach_istiod() {
    let payment = WorkloadName::new("payments", "payment");
    for (faults, leaf, supply) in [
        (
            "- expired-leaf: {workload: payment}",
            Validity::Current,
            Supply::FULL,
        ),
        (
            "- stuck-agent: {workload: payment}\n- expired-leaf: {workload: payment}",
            Validity::Expired,
            Supply::NOTHING,
        ),
    ] {
        for graceful in [true, false] {
            let restart = format!("{{workload: payment, graceful: {graceful}}}");
            let (_, mut last) = restarted(&restart, faults).pop().unwrap();
            let held = last.credentials.workloads.remove(&payment).unwrap();
            assert_eq!((held.leaf, held.supply), (leaf, supply), "{faults} {restart}");
        }
    }
}
