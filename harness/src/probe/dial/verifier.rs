//! A verifier that notes what the server presents and refuses nothing.

use std::sync::OnceLock;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Notes the server's chain. A raw caller is there to be judged, not to judge: what it would think of the server's
/// certificate must not cut the call short.
#[derive(Debug)]
pub(super) struct RecordingVerifier {
    algorithms: WebPkiSupportedAlgorithms,
    presented: OnceLock<Presented>,
}

/// What the server presented.
#[derive(Clone, Debug, Default)]
pub(super) struct Presented {
    /// URI SANs of the leaf; none where the leaf cannot be parsed.
    pub(super) uris: Vec<String>,
    pub(super) chain_len: usize,
}

impl RecordingVerifier {
    pub(super) const fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self {
            algorithms,
            presented: OnceLock::new(),
        }
    }

    /// What the server presented; nothing if the handshake did not come that far.
    pub(super) fn presented(&self) -> Presented {
        self.presented.get().cloned().unwrap_or_default()
    }
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain_len = 1 + intermediates.len();
        let _ = self.presented.set(Presented {
            uris: uris(end_entity),
            chain_len,
        });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn uris(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
        .collect()
}
