//! A call made from inside a pod: what an agent there is asked, what it answers, and what it sees as the application.
//! Each is one line of JSON, the question on standard input, so that a key in it is in no list of processes.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::dial::{self, Dial, Origin, TlsOffer};
use super::evidence::{Application, Caller, Connect};
use crate::call::Payload;
use crate::pki::{Issued, PrivateKey};
use crate::probe::DialError;

/// A call to make. It prints without its key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    /// A host name, resolved where the agent is, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The `Host` header of an HTTP request.
    pub authority: String,
    /// What tells this call from every other.
    pub nonce: String,
    /// What is spoken inside.
    pub payload: Payload,
    /// For the whole call, from connecting to the end of the answer.
    pub timeout_millis: u64,
    /// What is offered on a raw TLS call; absent where the call is plaintext, or TLS is its sidecar's affair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Offer>,
}

/// What a raw TLS caller offers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    /// ALPN protocols, in order of preference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// The certificate it presents when asked; absent on `raw-tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// A certificate and its key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// PEM, the leaf first.
    pub certificate_chain: String,
    /// Written in full, unlike everywhere else: the agent must have it.
    #[serde(serialize_with = "write_key", deserialize_with = "read_key")]
    pub private_key: PrivateKey,
}

/// What came of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The call was made, whatever became of it.
    Seen(Box<Caller>),
    /// It could not even be tried; why.
    Failed(String),
}

/// What an application saw of one call, or of bytes that name no call.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// What arrived. Repeated arrivals with one nonce are counted in `requests`; it stays 0 where the port does not
    /// speak what the bytes were.
    pub application: Application,
    /// The call's nonce; absent where the bytes carry none (a ClientHello, other bytes, a foreign path).
    pub nonce: Option<String>,
}

impl Question {
    /// Makes the call as every tier makes it: one fresh connection, one round trip.
    pub async fn ask(&self) -> Answer {
        match self.dial().await {
            Ok(caller) => Answer::Seen(Box::new(caller)),
            Err(error) => Answer::Failed(error.to_string()),
        }
    }

    async fn dial(&self) -> Result<Caller, DialError> {
        let Some(address) = self.address().await else {
            return Ok(Caller {
                connect: Connect::Unreachable,
                ..Caller::default()
            });
        };
        let dial = Dial {
            address,
            authority: &self.authority,
            nonce: &self.nonce,
            payload: self.payload,
            timeout: Duration::from_millis(self.timeout_millis),
            origin: Origin::own(),
        };
        match &self.tls {
            None => dial::plaintext(&dial).await,
            Some(offer) => dial::tls(&dial, &offer.to_tls()).await,
        }
    }

    /// The first address the name has; IPv4, for Services of a cluster with both have that first.
    async fn address(&self) -> Option<SocketAddr> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .ok()?;
        let mut found: Vec<SocketAddr> = found.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found.into_iter().next()
    }
}

impl Offer {
    fn to_tls(&self) -> TlsOffer {
        let identity = self.identity.as_ref().map(|it| Issued {
            certificate_chain: it.certificate_chain.clone(),
            private_key: it.private_key.clone(),
            trust_bundle: String::new(),
            revocation_lists: String::new(),
            serial: String::new(),
            fingerprint: String::new(),
        });
        TlsOffer {
            identity,
            alpn: self.alpn.clone(),
            sni: None,
        }
    }
}

fn write_key<S: Serializer>(key: &PrivateKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.pem())
}

fn read_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PrivateKey, D::Error> {
    String::deserialize(deserializer).map(PrivateKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_carries_its_key_to_the_agent_and_prints_without_it() {
        let question = Question {
            host: "payment".to_owned(),
            port: 8080,
            authority: "payment:8080".to_owned(),
            nonce: "1".to_owned(),
            payload: Payload::Http,
            timeout_millis: 1000,
            tls: Some(Offer {
                alpn: vec!["istio".to_owned()],
                identity: Some(Identity {
                    certificate_chain: "chain".to_owned(),
                    private_key: PrivateKey::new("hunter2".to_owned()),
                }),
            }),
        };
        assert!(!format!("{question:?}").contains("hunter2"));
        let sent = serde_json::to_string(&question).unwrap();
        assert!(!sent.contains('\n'));
        let read: Question = serde_json::from_str(&sent).unwrap();
        let key = read.tls.unwrap().identity.unwrap().private_key;
        assert_eq!(key.pem(), "hunter2");
    }

    #[tokio::test]
    async fn a_name_that_leads_nowhere_is_unreachable_and_no_failure() {
        let question = Question {
            host: "no-such-host.invalid".to_owned(),
            port: 8080,
            authority: "no-such-host.invalid:8080".to_owned(),
            nonce: "1".to_owned(),
            payload: Payload::Http,
            timeout_millis: 1000,
            tls: None,
        };
        let Answer::Seen(caller) = question.ask().await else {
            panic!("it was tried")
        };
        assert_eq!(caller.connect, Connect::Unreachable);
    }
}
