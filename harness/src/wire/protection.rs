//! Opening TLS records with the secrets of a key log (RFC 8446 sections 5.2 and 7, RFC 5246 section 6.3).

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use ring::{hkdf, hmac};
use tls_parser::TlsRawRecord;

/// A nonce of every AEAD here.
const NONCE: usize = 12;
/// What of a nonce of TLS 1.2 with GCM is a secret; the rest is in front of each record (RFC 5288, section 3).
const SALT: usize = 4;

/// How records are protected.
#[derive(Clone, Copy)]
pub(super) struct Suite {
    aead: &'static Algorithm,
    is_sha_384: bool,
    is_tls_1_3: bool,
}

impl Suite {
    /// By its number; nothing for one without AEAD.
    pub(super) fn of(number: u16) -> Option<Self> {
        let (aead, is_sha_384) = match number {
            0x1301 | 0x009c | 0xc02b | 0xc02f => (&AES_128_GCM, false),
            0x1302 | 0x009d | 0xc02c | 0xc030 => (&AES_256_GCM, true),
            0x1303 | 0xcca8 | 0xcca9 => (&CHACHA20_POLY1305, false),
            _ => return None,
        };
        Some(Self {
            aead,
            is_sha_384,
            is_tls_1_3: number >> 8 == 0x13,
        })
    }

    /// What one end sends under a traffic secret of TLS 1.3.
    pub(super) fn under_secret(self, secret: &[u8]) -> Option<Opener> {
        let key = self.expand(secret, "key", self.aead.key_len())?;
        let iv = self.expand(secret, "iv", NONCE)?;
        Opener::new(self, &key, iv)
    }

    /// What the client sends, and what the server does, under a master secret of TLS 1.2.
    pub(super) fn under_master(
        self,
        master: &[u8],
        client_random: &[u8],
        server_random: &[u8],
    ) -> Option<[Opener; 2]> {
        let key = self.aead.key_len();
        let iv = match self.has_explicit_nonce() {
            true => SALT,
            false => NONCE,
        };
        let seed = [b"key expansion", server_random, client_random].concat();
        let block = self.pseudorandom(master, &seed, 2 * (key + iv));
        let (keys, ivs) = block.split_at_checked(2 * key)?;
        Some([
            Opener::new(self, keys.get(..key)?, ivs.get(..iv)?.to_vec())?,
            Opener::new(self, keys.get(key..)?, ivs.get(iv..)?.to_vec())?,
        ])
    }

    fn has_explicit_nonce(self) -> bool {
        !self.is_tls_1_3 && self.aead != &CHACHA20_POLY1305
    }

    /// HKDF-Expand-Label without a context.
    fn expand(self, secret: &[u8], label: &str, length: usize) -> Option<Vec<u8>> {
        struct Length(usize);
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let algorithm = match self.is_sha_384 {
            true => hkdf::HKDF_SHA384,
            false => hkdf::HKDF_SHA256,
        };
        let label = format!("tls13 {label}");
        let mut info = u16::try_from(length).ok()?.to_be_bytes().to_vec();
        info.push(u8::try_from(label.len()).ok()?);
        info.extend(label.as_bytes());
        info.push(0);
        let mut out = vec![0; length];
        let secret = hkdf::Prk::new_less_safe(algorithm, secret);
        secret
            .expand(&[&info], Length(length))
            .ok()?
            .fill(&mut out)
            .ok()?;
        Some(out)
    }

    /// `P_hash` of RFC 5246, section 5.
    fn pseudorandom(self, secret: &[u8], seed: &[u8], length: usize) -> Vec<u8> {
        let algorithm = match self.is_sha_384 {
            true => hmac::HMAC_SHA384,
            false => hmac::HMAC_SHA256,
        };
        let key = hmac::Key::new(algorithm, secret);
        let mut out = Vec::new();
        let mut round = hmac::sign(&key, seed);
        while out.len() < length {
            let block = [round.as_ref(), seed].concat();
            out.extend_from_slice(hmac::sign(&key, &block).as_ref());
            round = hmac::sign(&key, round.as_ref());
        }
        out.truncate(length);
        out
    }
}

/// Opens the records that one end sends, one after the other.
pub(super) struct Opener {
    suite: Suite,
    key: LessSafeKey,
    iv: Vec<u8>,
    sequence: u64,
}

impl Opener {
    fn new(suite: Suite, key: &[u8], iv: Vec<u8>) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(suite.aead, key).ok()?);
        Some(Self {
            suite,
            key,
            iv,
            sequence: 0,
        })
    }

    /// The true type of the next record and what is in it; nothing where it is under another key.
    pub(super) fn open(&mut self, record: &TlsRawRecord<'_>) -> Option<(u8, Vec<u8>)> {
        let (explicit, sealed) = match self.suite.has_explicit_nonce() {
            true => record.data.split_at_checked(NONCE - SALT)?,
            false => record.data.split_at(0),
        };
        let nonce = self.nonce(explicit)?;
        let mut buffer = sealed.to_vec();
        let plain = self
            .key
            .open_in_place(
                nonce,
                Aad::from(self.associated(record, sealed.len())?),
                &mut buffer,
            )
            .ok()?;
        let opened = match self.suite.is_tls_1_3 {
            true => {
                let end = plain.iter().rposition(|byte| *byte != 0)?;
                (plain[end], plain[..end].to_vec())
            }
            false => (record.hdr.record_type.0, plain.to_vec()),
        };
        self.sequence += 1;
        Some(opened)
    }

    fn nonce(&self, explicit: &[u8]) -> Option<Nonce> {
        if !explicit.is_empty() {
            return Nonce::try_assume_unique_for_key(&[&self.iv, explicit].concat()).ok();
        }
        let mut nonce = self.iv.clone();
        let tail = nonce.iter_mut().rev();
        for (byte, of_sequence) in tail.zip(self.sequence.to_le_bytes()) {
            *byte ^= of_sequence;
        }
        Nonce::try_assume_unique_for_key(&nonce).ok()
    }

    fn associated(&self, record: &TlsRawRecord<'_>, sealed: usize) -> Option<Vec<u8>> {
        let kind = record.hdr.record_type.0;
        let version = record.hdr.version.0.to_be_bytes();
        if self.suite.is_tls_1_3 {
            let length = record.hdr.len.to_be_bytes();
            return Some(vec![kind, version[0], version[1], length[0], length[1]]);
        }
        let plain = u16::try_from(sealed.checked_sub(self.suite.aead.tag_len())?).ok()?;
        let mut associated = self.sequence.to_be_bytes().to_vec();
        associated.extend([kind, version[0], version[1]]);
        associated.extend(plain.to_be_bytes());
        Some(associated)
    }
}
