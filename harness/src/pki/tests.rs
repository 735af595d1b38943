use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, RootCertStore};
use time::OffsetDateTime;
use x509_parser::prelude::{
    ASN1Time, CertificateRevocationList, FromDer as _, ParsedExtension, X509Certificate,
};

use super::{
    Authority, Credentials, LeafKey, LeafUsage, Revocation, RootName, Validity, WorkloadCredentials,
};
use crate::call::WorkloadName;

const RECORDED: &str = include_str!("../../tests/data/istiod-xds/workload-cert.x509.txt");
const IDENTITY: &str = "spiffe://cluster.local/ns/payments/sa/api";

fn api() -> WorkloadName {
    WorkloadName::new("payments", "api")
}

fn credentials(change: impl FnOnce(&mut WorkloadCredentials)) -> Credentials {
    let mut state = WorkloadCredentials::healthy(IDENTITY);
    change(&mut state);
    Credentials {
        workloads: [(api(), state)].into(),
        ..Credentials::default()
    }
}

fn with_root(validity: Validity) -> Credentials {
    Credentials {
        roots: [(RootName::default(), validity)].into(),
        ..credentials(|_| {})
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap()
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> X509Certificate<'a> {
    X509Certificate::from_der(der).unwrap().1
}

fn validity_of(certificate: &X509Certificate<'_>) -> Validity {
    let now = ASN1Time::now();
    if now < certificate.validity().not_before {
        Validity::NotYetValid
    } else if now > certificate.validity().not_after {
        Validity::Expired
    } else {
        Validity::Current
    }
}

/// What a server that trusts `bundle` says of a client that serves `chain`.
fn verify(chain: &str, bundle: &str) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(bundle));
    let chain = certificates(chain);
    WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::new(rustls::crypto::ring::default_provider()),
    )
    .build()
    .unwrap()
    .verify_client_cert(&chain[0], &chain[1..], UnixTime::now())
    .map(|_| ())
}

/// An extension as it is on the wire: OID, criticality, value. The authority key identifier's value is left out,
/// as it is a hash of the issuer's key.
fn extensions(certificate: &X509Certificate<'_>) -> Vec<(String, bool, Vec<u8>)> {
    let mut extensions: Vec<_> = certificate
        .extensions()
        .iter()
        .map(|extension| {
            let value = match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(aki) => {
                    assert!(aki.authority_cert_issuer.is_none() && aki.authority_cert_serial.is_none());
                    vec![aki.key_identifier.as_ref().unwrap().0.len() as u8]
                }
                _ => extension.value.to_vec(),
            };
            (extension.oid.to_id_string(), extension.critical, value)
        })
        .collect();
    extensions.sort();
    extensions
}

#[test]
fn a_leaf_equals_the_one_recorded_from_istiod_in_every_field() {
    let issued = Authority::new("cluster.local")
        .issue(&credentials(|_| {}), &api())
        .unwrap();
    let (minted, recorded) = (certificates(&issued.certificate_chain), certificates(RECORDED));
    let minted = parse(&minted[0]);
    for recorded in recorded[..2].iter().map(parse) {
        assert_eq!(extensions(&minted), extensions(&recorded));
        assert_eq!(minted.version(), recorded.version());
        assert_eq!(minted.subject().as_raw(), recorded.subject().as_raw());
        let lifetime = |certificate: &X509Certificate<'_>| {
            certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp()
        };
        assert_eq!(lifetime(&minted), lifetime(&recorded));
        assert!(minted.raw_serial().len() <= recorded.raw_serial().len());
    }
    let recorded_p256 = parse(&recorded[1]);
    assert_eq!(
        minted.public_key().algorithm,
        recorded_p256.public_key().algorithm
    );
    let age = ASN1Time::now().timestamp() - minted.validity().not_before.timestamp();
    assert!((120..180).contains(&age), "notBefore lies {age} s back");
}

#[test]
fn a_root_equals_istiods_but_for_the_crl_signature_of_a_plugged_in_ca() {
    let issued = Authority::new("cluster.local")
        .issue(&credentials(|_| {}), &api())
        .unwrap();
    let minted = certificates(&issued.trust_bundle);
    let minted = parse(&minted[0]);
    let recorded = certificates(RECORDED);
    let recorded = parse(&recorded[2]);
    let oids = |certificate: &X509Certificate<'_>| {
        let mut oids: Vec<_> = certificate
            .extensions()
            .iter()
            .map(|extension| (extension.oid.to_id_string(), extension.critical))
            .collect();
        oids.sort();
        oids
    };
    assert_eq!(oids(&minted), oids(&recorded));
    assert_eq!(
        minted.basic_constraints().unwrap().unwrap().value,
        recorded.basic_constraints().unwrap().unwrap().value
    );
    let usage = minted.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    assert_eq!(
        minted
            .subject()
            .iter_organization()
            .next()
            .unwrap()
            .as_str()
            .unwrap(),
        "cluster.local"
    );
}

#[test]
fn the_chain_is_leaf_intermediate_root_and_each_names_the_next() {
    let issued = Authority::new("cluster.local")
        .issue(&credentials(|_| {}), &api())
        .unwrap();
    let chain = certificates(&issued.certificate_chain);
    let chain: Vec<_> = chain.iter().map(parse).collect();
    assert_eq!(chain.len(), 3);
    for (subject, issuer) in [(0, 1), (1, 2), (2, 2)] {
        assert_eq!(chain[subject].issuer().as_raw(), chain[issuer].subject().as_raw());
    }
    let path_length = |index: usize| {
        let constraints = chain[index].basic_constraints().unwrap().unwrap();
        assert!(constraints.critical);
        (constraints.value.ca, constraints.value.path_len_constraint)
    };
    assert_eq!(
        [path_length(0), path_length(1), path_length(2)],
        [(false, None), (true, Some(0)), (true, None)]
    );
    assert_eq!(verify(&issued.certificate_chain, &issued.trust_bundle), Ok(()));
    assert_eq!(
        format!("{:x}", chain[0].serial),
        issued.serial.trim_start_matches('0')
    );
}

#[test]
fn the_key_belongs_to_the_leaf() {
    let issued = Authority::new("cluster.local")
        .issue(&credentials(|_| {}), &api())
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.private_key.pem().as_bytes()).unwrap();
    let chain = certificates(&issued.certificate_chain);
    let provider = rustls::crypto::ring::default_provider();
    assert!(rustls::sign::CertifiedKey::from_der(chain, key, &provider).is_ok());
}

#[test]
fn each_validity_shows_in_the_dates_of_its_certificate_and_of_no_other() {
    use Validity::{Current, Expired, NotYetValid};
    let mut authority = Authority::new("cluster.local");
    for state in [Expired, NotYetValid] {
        for (credentials, expected) in [
            (credentials(|it| it.leaf = state), [state, Current, Current]),
            (
                credentials(|it| it.intermediate = state),
                [Current, state, Current],
            ),
            (with_root(state), [Current, Current, state]),
        ] {
            let issued = authority.issue(&credentials, &api()).unwrap();
            let shown: Vec<_> = certificates(&issued.certificate_chain)
                .iter()
                .map(|der| validity_of(&parse(der)))
                .collect();
            assert_eq!(shown, expected);
            assert_eq!(
                validity_of(&parse(&certificates(&issued.trust_bundle)[0])),
                expected[2]
            );
        }
    }
}

#[test]
fn a_verifier_refuses_what_is_out_of_date() {
    let mut authority = Authority::new("cluster.local");
    for (credentials, early) in [
        (credentials(|it| it.leaf = Validity::Expired), false),
        (credentials(|it| it.leaf = Validity::NotYetValid), true),
        (credentials(|it| it.intermediate = Validity::Expired), false),
        (credentials(|it| it.intermediate = Validity::NotYetValid), true),
    ] {
        let issued = authority.issue(&credentials, &api()).unwrap();
        let refusal = verify(&issued.certificate_chain, &issued.trust_bundle).unwrap_err();
        let rustls::Error::InvalidCertificate(reason) = refusal else {
            panic!("{refusal}");
        };
        let as_expected = match reason {
            CertificateError::ExpiredContext { .. } => !early,
            CertificateError::NotValidYetContext { .. } => early,
            _ => false,
        };
        assert!(as_expected, "{reason:?}");
    }
}

#[test]
fn a_re_issued_authority_keeps_its_key_and_subject() {
    let mut authority = Authority::new("cluster.local");
    let healthy = authority.issue(&credentials(|_| {}), &api()).unwrap();
    for (changed, place) in [
        (with_root(Validity::Expired), 2),
        (credentials(|it| it.intermediate = Validity::Expired), 1),
    ] {
        let expired = authority.issue(&changed, &api()).unwrap();
        let (before, after) = (
            certificates(&healthy.certificate_chain),
            certificates(&expired.certificate_chain),
        );
        for index in 0..3 {
            assert_eq!(before[index] != after[index], index == place);
        }
        let (before, after) = (parse(&before[place]), parse(&after[place]));
        assert_eq!(before.public_key().raw, after.public_key().raw);
        assert_eq!(before.subject().as_raw(), after.subject().as_raw());
        assert_ne!(before.serial, after.serial);
    }
    // The old leaf and intermediate still verify under the re-issued root.
    let renewed = authority.issue(&with_root(Validity::Expired), &api()).unwrap();
    assert_eq!(verify(&renewed.certificate_chain, &healthy.trust_bundle), Ok(()));
}

#[test]
fn a_foreign_root_is_trusted_only_by_those_whose_bundle_names_it() {
    let foreign = RootName("foreign".to_owned());
    let both = vec![RootName::default(), foreign.clone()];
    let mut authority = Authority::new("cluster.local");
    let ours = authority.issue(&credentials(|_| {}), &api()).unwrap();
    let theirs = authority
        .issue(&credentials(|it| it.issuer = foreign.clone()), &api())
        .unwrap();
    let rotating = authority
        .issue(&credentials(|it| it.bundle = both.clone()), &api())
        .unwrap();
    assert_eq!(
        verify(&theirs.certificate_chain, &ours.trust_bundle),
        Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    );
    assert_eq!(certificates(&rotating.trust_bundle).len(), 2);
    assert!(rotating.trust_bundle.starts_with(&ours.trust_bundle));
    for chain in [&ours.certificate_chain, &theirs.certificate_chain] {
        assert_eq!(verify(chain, &rotating.trust_bundle), Ok(()));
    }
    let reversed = authority
        .issue(
            &credentials(|it| it.bundle = both.into_iter().rev().collect()),
            &api(),
        )
        .unwrap();
    assert!(reversed.trust_bundle.ends_with(&ours.trust_bundle));
}

#[test]
fn the_same_state_gives_the_same_certificates_and_a_change_renews_only_what_it_is_about() {
    let mut authority = Authority::new("cluster.local");
    let first = authority.issue(&credentials(|_| {}), &api()).unwrap();
    authority
        .issue(&credentials(|it| it.leaf = Validity::Expired), &api())
        .unwrap();
    assert_eq!(authority.issue(&credentials(|_| {}), &api()).unwrap(), first);

    let renewed = authority
        .issue(&credentials(|it| it.generation = 1), &api())
        .unwrap();
    assert_ne!(renewed.fingerprint, first.fingerprint);
    assert_ne!(renewed.serial, first.serial);

    let bundle = vec![RootName::default(), RootName("next".to_owned())];
    let rebundled = authority
        .issue(&credentials(|it| it.bundle = bundle), &api())
        .unwrap();
    assert_eq!(rebundled.certificate_chain, first.certificate_chain);
    assert_ne!(rebundled.trust_bundle, first.trust_bundle);
}

#[test]
fn a_leaf_has_the_key_asked_for_and_a_library_signs_with_it() {
    let mut authority = Authority::new("cluster.local");
    for (key, bits, algorithm) in [
        (LeafKey::EcdsaP256, 256, "1.2.840.10045.2.1"),
        (LeafKey::EcdsaP384, 384, "1.2.840.10045.2.1"),
        (LeafKey::Rsa2048, 2048, "1.2.840.113549.1.1.1"),
    ] {
        let issued = authority.issue(&credentials(|it| it.key = key), &api()).unwrap();
        let chain = certificates(&issued.certificate_chain);
        let leaf = parse(&chain[0]);
        let public = leaf.public_key();
        assert_eq!(public.parsed().unwrap().key_size(), bits, "{key:?}");
        assert_eq!(public.algorithm.algorithm.to_id_string(), algorithm, "{key:?}");
        assert_eq!(
            verify(&issued.certificate_chain, &issued.trust_bundle),
            Ok(()),
            "{key:?}"
        );
        let private = PrivateKeyDer::from_pem_slice(issued.private_key.pem().as_bytes()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        assert!(rustls::sign::CertifiedKey::from_der(chain, private, &provider).is_ok());
    }
}

#[test]
fn what_a_leaf_may_be_used_for_stands_in_it() {
    let mut authority = Authority::new("cluster.local");
    for may_sign in [true, false] {
        for (server_auth, client_auth) in [(true, true), (true, false), (false, true)] {
            let usage = LeafUsage {
                digital_signature: may_sign,
                server_auth,
                client_auth,
            };
            let issued = authority
                .issue(&credentials(|it| it.usage = usage), &api())
                .unwrap();
            let chain = certificates(&issued.certificate_chain);
            let leaf = parse(&chain[0]);
            let key_usage = leaf.key_usage().unwrap().unwrap().value;
            let extended = leaf.extended_key_usage().unwrap().unwrap().value;
            assert_eq!(key_usage.digital_signature(), may_sign);
            assert!(key_usage.key_encipherment());
            assert_eq!(
                (extended.server_auth, extended.client_auth),
                (server_auth, client_auth)
            );
        }
    }
}

#[test]
fn a_chain_without_its_intermediate_leads_nowhere() {
    let mut authority = Authority::new("cluster.local");
    let issued = authority
        .issue(&credentials(|it| it.serves_intermediate = false), &api())
        .unwrap();
    assert_eq!(certificates(&issued.certificate_chain).len(), 2);
    assert_eq!(
        verify(&issued.certificate_chain, &issued.trust_bundle),
        Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    );
}

#[test]
fn revocation_lists_name_what_is_revoked_and_stay_the_same_while_it_does() {
    let mut authority = Authority::new("cluster.local");
    let listed = |authority: &mut Authority, revoked, revocation| {
        let issued = authority
            .issue(
                &credentials(|it| (it.revoked, it.revocation) = (revoked, revocation)),
                &api(),
            )
            .unwrap();
        (issued.revocation_lists, issued.serial)
    };
    assert_eq!(listed(&mut authority, true, Revocation::Unchecked).0, "");
    for (revocation, count, is_expired) in [
        (Revocation::Current, 2, false),
        (Revocation::Expired, 2, true),
        (Revocation::WithoutRoot, 1, false),
    ] {
        let (lists, serial) = listed(&mut authority, true, revocation);
        assert_eq!(listed(&mut authority, true, revocation).0, lists);
        let ders: Vec<_> = CertificateRevocationListDer::pem_slice_iter(lists.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(ders.len(), count, "{revocation:?}");
        let parsed: Vec<_> = ders
            .iter()
            .map(|der| CertificateRevocationList::from_der(der).unwrap().1)
            .collect();
        let revoked = parsed[0].iter_revoked_certificates();
        let serials: Vec<String> = revoked.map(|it| it.user_certificate.to_str_radix(16)).collect();
        assert_eq!(serials, [serial.trim_start_matches('0')], "{revocation:?}");
        for list in &parsed {
            assert_eq!(list.next_update().unwrap() < ASN1Time::now(), is_expired);
        }
    }
    let (untouched, _) = listed(&mut authority, false, Revocation::Current);
    assert_ne!(untouched, listed(&mut authority, true, Revocation::Current).0);
}

#[test]
fn what_cannot_be_minted_is_refused_by_name() {
    let mut authority = Authority::new("cluster.local");
    let refusals: Vec<String> = [
        Credentials::default(),
        credentials(|it| it.bundle.clear()),
        credentials(|it| it.identity = "spiffe://cluster.local/ns/zürich/sa/x".to_owned()),
    ]
    .iter()
    .map(|credentials| authority.issue(credentials, &api()).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn issuing_takes_well_under_two_milliseconds_a_workload() {
    const WORKLOADS: u32 = 50;
    let mut authority = Authority::new("cluster.local");
    let started = Instant::now();
    for generation in 0..WORKLOADS {
        authority
            .issue(&credentials(|it| it.generation = generation), &api())
            .unwrap();
    }
    let each = started.elapsed() / WORKLOADS;
    // Ten times the promise: this machine may be busy with other tests.
    assert!(each < Duration::from_millis(20), "{each:?} each");
    println!("{each:?} each");
}

#[test]
fn a_short_lived_leaf_is_one_certificate_until_after_its_end() {
    let mut authority = Authority::new("cluster.local");
    let now = OffsetDateTime::now_utc();
    let soon = credentials(|it| it.short_lived = true);
    let over = credentials(|it| (it.short_lived, it.leaf) = (true, Validity::Expired));
    let first = authority.issue(&soon, &api()).unwrap();
    assert_eq!(authority.issue(&over, &api()).unwrap(), first);
    let end = authority.short_lives_end(&over).unwrap().unwrap();
    let left = (end - now).whole_milliseconds();
    assert!((4_900..=6_000).contains(&left), "{left} ms");
    let healthy = credentials(|_| ());
    assert_eq!(authority.short_lives_end(&healthy).unwrap(), None);
    assert_ne!(authority.issue(&healthy, &api()).unwrap().serial, first.serial);
}
