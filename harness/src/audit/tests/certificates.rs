//! Rules and conditions about certificates, on certificates made for the day of the tests, 2026-11-22.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SerialNumber, date_time_ymd,
};
use serde_json::{Value, json};

use super::{CLEAN, codes, report};
use crate::audit::{Report, Severity};

/// Year, month, and day.
type Day = (i32, u8, u8);
const LONG: Day = (2036, 1, 1);

/// An authority.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Authority {
    fn root(name: &str, until: Day) -> Self {
        let (params, key) = (params(name, until), key());
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    fn intermediate(&self, name: &str, until: Day) -> Self {
        let (params, key) = (params(name, until), key());
        let pem = params.signed_by(&key, &self.issuer()).unwrap().pem();
        Self { params, key, pem }
    }

    fn signs(&self, params: &CertificateParams, key: &KeyPair) -> String {
        params.signed_by(key, &self.issuer()).unwrap().pem()
    }

    fn crl(&self, until: Day) -> String {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(until.0, until.1, until.2),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn params(name: &str, until: Day) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(until.0, until.1, until.2);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A signing bundle; the key file is there, and what is in it stays unread.
fn cacerts(entries: &[(&str, &str)]) -> Value {
    let mut data = json!({"ca-key.pem": "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"});
    for (name, pem) in entries {
        data[*name] = json!(pem);
    }
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": "istio-system"}, "stringData": data})
}

/// A complete one.
fn bundle(signer: &Authority, root: &Authority) -> Value {
    cacerts(&[
        ("ca-cert.pem", signer.pem.as_str()),
        ("cert-chain.pem", signer.pem.as_str()),
        ("root-cert.pem", root.pem.as_str()),
    ])
}

fn distributed(roots: &[&Authority]) -> Value {
    let pem: String = roots.iter().map(|it| it.pem.as_str()).collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": "shop"}, "data": {"root-cert.pem": pem}})
}

fn of(objects: &[Value]) -> Report {
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    report(&format!("{CLEAN}---\n{}", documents.join("\n---\n")))
}

fn severity(report: &Report, code: &str) -> Option<Severity> {
    report
        .findings
        .iter()
        .filter(|it| it.code == code)
        .map(|it| it.severity)
        .max()
}

#[test]
fn a_healthy_authority_raises_nothing() {
    let root = Authority::root("root", LONG);
    let signer = root.intermediate("signer", LONG);
    let report = of(&[bundle(&signer, &root), distributed(&[&root])]);
    let above: Vec<_> = report
        .findings
        .iter()
        .filter(|it| it.severity > Severity::Info)
        .collect();
    assert!(above.is_empty(), "{above:#?}");
    let undecided = |it: &&crate::audit::Check| it.code.starts_with("certificates.") && !it.needs.is_empty();
    assert_eq!(report.checks.iter().find(undecided), None);
}

#[test]
fn certificates_end_now_soon_or_later() {
    let code = "certificates.expiry";
    let cases = [
        ((2026, 11, 21), Some(Severity::High)),
        ((2026, 12, 20), Some(Severity::High)),
        ((2027, 2, 1), Some(Severity::Low)),
        ((2027, 3, 1), None),
    ];
    for (until, expected) in cases {
        let root = Authority::root("root", until);
        assert_eq!(
            severity(&of(&[distributed(&[&root])]), code),
            expected,
            "{until:?}"
        );
        let sound = Authority::root("root", LONG);
        let signer = sound.intermediate("signer", until);
        assert_eq!(
            severity(&of(&[bundle(&signer, &sound)]), code),
            expected,
            "{until:?}"
        );
    }
    let mut future = params("root", LONG);
    future.not_before = date_time_ymd(2026, 12, 1);
    let key = key();
    let root = Authority {
        pem: future.self_signed(&key).unwrap().pem(),
        params: future,
        key,
    };
    assert_eq!(
        severity(&of(&[distributed(&[&root])]), code),
        Some(Severity::High)
    );
}

#[test]
fn a_root_that_every_namespace_has_is_told_once() {
    let root = Authority::root("root", (2026, 11, 1));
    let mut elsewhere = distributed(&[&root]);
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    let report = of(&[distributed(&[&root]), elsewhere]);
    let found = report
        .findings
        .iter()
        .filter(|it| it.code == "certificates.expiry");
    assert_eq!(found.count(), 1);
}

#[test]
fn a_rotation_needs_an_overlap() {
    let (old, new) = (Authority::root("old", LONG), Authority::root("new", LONG));
    let code = "certificates.rotation-without-overlap";
    let hit = of(&[
        bundle(&new.intermediate("signer", LONG), &new),
        distributed(&[&old]),
    ]);
    assert_eq!(severity(&hit, code), Some(Severity::High));
    let near = of(&[
        bundle(&new.intermediate("signer", LONG), &new),
        distributed(&[&old, &new]),
    ]);
    assert_eq!(severity(&near, code), None);
    let without = of(&[distributed(&[&old])]);
    let check = without.checks.iter().find(|it| it.code == code).unwrap();
    assert_eq!(
        check.needs,
        ["the ConfigMap istio-ca-root-cert and the Secret cacerts"]
    );
}

#[test]
fn a_signer_is_of_a_root_that_is_distributed() {
    let (one, other) = (Authority::root("root", LONG), Authority::root("root", LONG));
    let code = "certificates.signer-not-trusted";
    // Of the same name, and not the same key.
    let hit = of(&[bundle(&one.intermediate("signer", LONG), &other)]);
    assert!(codes(&hit).contains(&code), "{:#?}", hit.findings);
    assert!(codes(&hit).contains(&"hazard.ca-startup-verify"));
    let near = of(&[bundle(&one.intermediate("signer", LONG), &one)]);
    assert!(!codes(&near).contains(&code) && !codes(&near).contains(&"hazard.ca-startup-verify"));
    assert!(!codes(&of(&[bundle(&one, &one)])).contains(&code));
}

#[test]
fn a_certificate_may_be_used_for_what_it_is_used_for() {
    let code = "certificates.key-usage";
    let root = Authority::root("root", LONG);
    let with = |change: fn(&mut CertificateParams)| {
        let mut params = params("signer", LONG);
        change(&mut params);
        let key = key();
        let pem = root.signs(&params, &key);
        let signer = Authority { params, key, pem };
        severity(&of(&[bundle(&signer, &root)]), code)
    };
    assert_eq!(
        with(|it| it.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        Some(Severity::High)
    );
    assert_eq!(with(|it| it.is_ca = IsCa::NoCa), Some(Severity::High));
    // No key usage at all allows everything.
    assert_eq!(with(|it| it.key_usages = Vec::new()), None);
    let leaf = |usage| {
        let mut params = params("leaf", LONG);
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![usage];
        let pem = root.signs(&params, &key());
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": "shop"}, "stringData": {"tls.crt": pem}});
        severity(&of(&[secret]), code)
    };
    assert_eq!(leaf(KeyUsagePurpose::KeyEncipherment), Some(Severity::High));
    assert_eq!(leaf(KeyUsagePurpose::DigitalSignature), None);
}

#[test]
fn revocation_lists_are_current_and_of_every_authority() {
    let code = "certificates.crl";
    let root = Authority::root("root", LONG);
    let signer = root.intermediate("signer", LONG);
    let with = |lists: &[String]| {
        let mut bundle = bundle(&signer, &root);
        if !lists.is_empty() {
            bundle["stringData"]["ca-crl.pem"] = json!(lists.concat());
        }
        severity(&of(&[bundle]), code)
    };
    assert_eq!(with(&[root.crl(LONG), signer.crl(LONG)]), None);
    assert_eq!(
        with(&[root.crl(LONG), signer.crl((2026, 11, 1))]),
        Some(Severity::High)
    );
    assert_eq!(with(&[root.crl(LONG)]), Some(Severity::High));
    assert_eq!(with(&[]), None);
}

#[test]
fn a_webhook_is_trusted_by_the_meshs_root() {
    let code = "injection.webhook-ca-bundle";
    let (root, other) = (Authority::root("root", LONG), Authority::root("root", LONG));
    let webhook = |bundle: &str| {
        let bundle = serde_json::to_value(k8s_openapi::ByteString(bundle.as_bytes().to_vec())).unwrap();
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "istio-sidecar-injector"},
            "webhooks": [{"name": "namespace.sidecar-injector.istio.io", "clientConfig": {"caBundle": bundle}}]})
    };
    assert_eq!(
        severity(&of(&[webhook(&other.pem), distributed(&[&root])]), code),
        Some(Severity::High)
    );
    assert_eq!(
        severity(
            &of(&[webhook(&format!("\n{}\n", root.pem)), distributed(&[&root])]),
            code
        ),
        None
    );
    // A manifest's is empty until istiod fills it in.
    assert_eq!(severity(&of(&[webhook(""), distributed(&[&root])]), code), None);
}

/// What the conditions of hazards say, by what they are about.
#[test]
fn hazards_look_at_the_authority() {
    let root = Authority::root("root", LONG);
    let second = Authority::root("second", LONG);
    let signer = root.intermediate("signer", LONG);
    let ending = root.intermediate("signer", (2026, 11, 23));
    let two_roots = format!("{}{}", root.pem, second.pem);
    let several = cacerts(&[
        ("ca-cert.pem", signer.pem.as_str()),
        ("cert-chain.pem", signer.pem.as_str()),
        ("root-cert.pem", two_roots.as_str()),
    ]);
    let incomplete = cacerts(&[
        ("ca-cert.pem", signer.pem.as_str()),
        ("root-cert.pem", root.pem.as_str()),
    ]);
    let sound = bundle(&signer, &root);
    let mut with_list = sound.clone();
    with_list["stringData"]["ca-crl.pem"] = json!(root.crl(LONG));
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let curve = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls", "namespace": "shop"},
        "stringData": {"tls.crt": root.signs(&params("leaf", LONG), &p384)}});
    let old_proxy = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "old", "namespace": "shop",
        "annotations": {"sidecar.istio.io/proxyImage": "istio/proxyv2:1.24.0"}}, "spec": {"containers": [{"name": "app"}]}});
    let malformed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": "shop"},
        "data": {"root-cert.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}});
    type Case = (&'static str, &'static str, &'static str, Vec<Value>, Vec<Value>);
    let cases: [Case; 7] = [
        (
            "hazard.rootca-single",
            "1.24.3",
            "1.24.4",
            vec![several],
            vec![sound.clone()],
        ),
        (
            "hazard.leaf-ttl-clamp",
            "1.29.2",
            "1.30.3",
            vec![bundle(&ending, &root)],
            vec![sound.clone()],
        ),
        (
            "hazard.cacerts-incomplete",
            "1.26.0",
            "1.27.0",
            vec![incomplete],
            vec![sound.clone()],
        ),
        (
            "hazard.crl",
            "1.26.8",
            "1.27.0",
            vec![with_list],
            vec![sound.clone()],
        ),
        (
            "hazard.root-rotation-multiroot",
            "1.30.3",
            "1.31.1",
            vec![sound.clone(), distributed(&[&second])],
            vec![sound.clone(), distributed(&[&root])],
        ),
        (
            "hazard.p384-p521",
            "1.24.0",
            "1.25.0",
            vec![curve.clone(), old_proxy.clone()],
            vec![curve],
        ),
        (
            "hazard.root-parse",
            "1.26.8",
            "1.27.0",
            vec![malformed],
            vec![distributed(&[&root])],
        ),
    ];
    for (code, from, to, hit, near) in cases {
        let at = |objects: &[Value]| {
            let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
            let mut input = super::input(&documents.join("\n---\n"));
            (input.current, input.target) = (Some(from.parse().unwrap()), to.parse().unwrap());
            crate::audit::audit(&mut input).unwrap()
        };
        assert!(codes(&at(&hit)).contains(&code), "{code}");
        assert!(!codes(&at(&near)).contains(&code), "near {code}");
    }
}
