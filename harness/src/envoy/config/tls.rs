//! TLS contexts and secrets, as istiod 1.30.3 was recorded to send them.

use envoy_types::pb::envoy::config::core::v3::{
    ApiConfigSource, ApiVersion, ConfigSource, DataSource, GrpcService, TransportSocket, api_config_source,
    config_source, data_source, grpc_service,
};
use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, Secret,
    TlsCertificate, TlsKeyLog, TlsParameters, UpstreamTlsContext, secret, tls_parameters::TlsProtocol,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};

use super::proto::{boolean, seconds, transport_socket};
use super::{Acceptance, Instruments};
use crate::call::Connections;
use crate::fault::{CipherSuite, TlsLimits, TlsVersion};
use crate::istio::policy::{ClientCertificate, INBOUND_CIPHER_SUITES, TlsOrigination, Trust};

/// The secret that holds a workload's own certificate.
pub(crate) const WORKLOAD_SECRET: &str = "default";
/// The secret that holds the roots a workload trusts.
pub(crate) const ROOT_SECRET: &str = "ROOTCA";
/// The secret that holds the roots of the operating system.
pub(crate) const SYSTEM_ROOTS_SECRET: &str = "file-root:system";
/// The bootstrap cluster that answers SDS.
pub(super) const SDS_CLUSTER: &str = "sds-grpc";

const TLS_SOCKET: &str = "envoy.transport_sockets.tls";

/// The socket of a client cluster.
pub(super) fn upstream(tls: &TlsOrigination, instruments: &Instruments) -> TransportSocket {
    let certificates = match &tls.certificate {
        ClientCertificate::None => Vec::new(),
        ClientCertificate::Workload => vec![sds_secret(WORKLOAD_SECRET, Waits::ForEver)],
        ClientCertificate::Files { certificate, key } => {
            vec![sds_secret(
                &format!("file-cert:{certificate}~{key}"),
                Waits::Default,
            )]
        }
    };
    let sans = tls.sans.iter().map(|san| MatchPattern::Exact(san.clone()));
    let validation = match &tls.trust {
        Trust::Mesh => Some(combined(sans, sds_secret(ROOT_SECRET, Waits::ForEver))),
        Trust::File(path) => Some(combined(
            sans,
            sds_secret(&format!("file-root:{path}"), Waits::Default),
        )),
        Trust::System => Some(combined(sans, sds_secret(SYSTEM_ROOTS_SECRET, Waits::Default))),
        Trust::Nobody => None,
    };
    let context = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: tls.alpn.clone(),
            tls_certificate_sds_secret_configs: certificates,
            tls_params: Some(parameters(TlsProtocol::TlSv12, &[], &instruments.limits)),
            validation_context_type: validation,
            key_log: key_log(instruments),
            ..CommonTlsContext::default()
        }),
        sni: tls.sni.clone().unwrap_or_default(),
        // No session cache: a resumed session hides a certificate that went bad since.
        max_session_keys: (instruments.connections == Connections::Fresh)
            .then_some(envoy_types::pb::google::protobuf::UInt32Value { value: 0 }),
        ..UpstreamTlsContext::default()
    };
    transport_socket(TLS_SOCKET, context)
}

/// The socket of an inbound chain that terminates mesh mTLS.
pub(super) fn downstream(acceptance: &Acceptance, instruments: &Instruments) -> TransportSocket {
    let minimum = if acceptance.only_tls_1_3 {
        TlsProtocol::TlSv13
    } else {
        TlsProtocol::TlSv12
    };
    let prefixes = acceptance
        .trust_domains
        .iter()
        .map(|domain| MatchPattern::Prefix(format!("spiffe://{domain}/")));
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            // The recorded TCP chains add istio-peer-exchange only with metadata exchange, which upstream Envoy lacks.
            alpn_protocols: vec!["h2".to_owned(), "http/1.1".to_owned()],
            tls_certificate_sds_secret_configs: vec![sds_secret(WORKLOAD_SECRET, Waits::ForEver)],
            tls_params: Some(parameters(minimum, &INBOUND_CIPHER_SUITES, &acceptance.limits)),
            validation_context_type: Some(combined(prefixes, sds_secret(ROOT_SECRET, Waits::ForEver))),
            key_log: key_log(instruments),
            ..CommonTlsContext::default()
        }),
        require_client_certificate: boolean(true),
        ..DownstreamTlsContext::default()
    };
    transport_socket(TLS_SOCKET, context)
}

fn key_log(instruments: &Instruments) -> Option<TlsKeyLog> {
    let path = instruments.key_log.as_ref()?;
    Some(TlsKeyLog {
        path: path.display().to_string(),
        ..TlsKeyLog::default()
    })
}

pub(super) fn raw_buffer() -> TransportSocket {
    transport_socket("envoy.transport_sockets.raw_buffer", RawBuffer {})
}

/// The secret that carries a certificate chain and its key (PEM).
pub(crate) fn certificate_secret(name: &str, chain: &str, key: &str) -> Secret {
    Secret {
        name: name.to_owned(),
        r#type: Some(secret::Type::TlsCertificate(TlsCertificate {
            certificate_chain: Some(inline(chain)),
            private_key: Some(inline(key)),
            ..TlsCertificate::default()
        })),
    }
}

/// The secret that carries trusted roots and the revocation lists to check, if any (PEM).
pub(crate) fn validation_secret(name: &str, roots: &str, revocation_lists: &str) -> Secret {
    Secret {
        name: name.to_owned(),
        r#type: Some(secret::Type::ValidationContext(CertificateValidationContext {
            trusted_ca: Some(inline(roots)),
            crl: (!revocation_lists.is_empty()).then(|| inline(revocation_lists)),
            ..CertificateValidationContext::default()
        })),
    }
}

/// How long a cluster or listener waits for a secret before it goes on without.
enum Waits {
    /// `initial_fetch_timeout: 0s`.
    ForEver,
    /// Envoy's default, 15 s.
    Default,
}

fn sds_secret(name: &str, waits: Waits) -> SdsSecretConfig {
    SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(ConfigSource {
            initial_fetch_timeout: match waits {
                Waits::ForEver => seconds(0),
                Waits::Default => None,
            },
            resource_api_version: ApiVersion::V3.into(),
            config_source_specifier: Some(config_source::ConfigSourceSpecifier::ApiConfigSource(
                ApiConfigSource {
                    api_type: api_config_source::ApiType::Grpc.into(),
                    transport_api_version: ApiVersion::V3.into(),
                    set_node_on_first_message_only: true,
                    grpc_services: vec![GrpcService {
                        target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(
                            grpc_service::EnvoyGrpc {
                                cluster_name: SDS_CLUSTER.to_owned(),
                                ..grpc_service::EnvoyGrpc::default()
                            },
                        )),
                        ..GrpcService::default()
                    }],
                    ..ApiConfigSource::default()
                },
            )),
            ..ConfigSource::default()
        }),
    }
}

fn combined(patterns: impl Iterator<Item = MatchPattern>, roots: SdsSecretConfig) -> ValidationContextType {
    #[expect(
        deprecated,
        reason = "istiod still sends the untyped matcher, which also matches a DNS SAN"
    )]
    let default = CertificateValidationContext {
        match_subject_alt_names: patterns
            .map(|pattern| StringMatcher {
                match_pattern: Some(pattern),
                ..StringMatcher::default()
            })
            .collect(),
        ..CertificateValidationContext::default()
    };
    ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
        default_validation_context: Some(default),
        validation_context_sds_secret_config: Some(roots),
        ..CombinedCertificateValidationContext::default()
    })
}

/// What istiod configures, but for deliberate limits.
fn parameters(minimum: TlsProtocol, cipher_suites: &[CipherSuite], limits: &TlsLimits) -> TlsParameters {
    let cipher_suites = match limits.cipher_suites.as_slice() {
        [] => cipher_suites,
        limited => limited,
    };
    TlsParameters {
        tls_minimum_protocol_version: limits.min_version.map_or(minimum, protocol).into(),
        tls_maximum_protocol_version: limits.max_version.map_or(TlsProtocol::TlSv13, protocol).into(),
        cipher_suites: cipher_suites
            .iter()
            .map(|suite| suite.as_str().to_owned())
            .collect(),
        ecdh_curves: limits
            .groups
            .iter()
            .map(|group| group.as_str().to_owned())
            .collect(),
        ..TlsParameters::default()
    }
}

const fn protocol(version: TlsVersion) -> TlsProtocol {
    match version {
        TlsVersion::V1_2 => TlsProtocol::TlSv12,
        TlsVersion::V1_3 => TlsProtocol::TlSv13,
    }
}

fn inline(text: &str) -> DataSource {
    DataSource {
        specifier: Some(data_source::Specifier::InlineString(text.to_owned())),
        ..DataSource::default()
    }
}
