//! Logs to measure with: from a seed, so that two runs read the same bytes.

use std::io::{BufWriter, Write};

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::patterns::{Layer, Patterns, Shown};

/// One line in so many tells of a failure.
const FAILING: u32 = 50;

/// Writes access logs of a busy mesh: requests in Istio's text and JSON formats, two per cent of them failing in the
/// ways clients see, and agents' lines in between.
#[derive(Debug)]
pub struct Generator {
    random: TestRng,
    reasons: Vec<String>,
}

impl Generator {
    /// The same log for the same seed.
    #[must_use]
    pub fn new(seed: u64, patterns: &Patterns) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let reasons = patterns
            .all()
            .iter()
            .filter(|it| it.layer == Layer::Envoy && it.visibility.get("client") == Some(&Shown::Default))
            .flat_map(|it| &it.samples)
            .filter(|sample| sample.starts_with("TLS_error"))
            .cloned()
            .collect();
        Self {
            random: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
            reasons,
        }
    }

    /// Writes whole lines until at least `bytes` are written, and says how many lines tell of a failure.
    ///
    /// # Errors
    /// When `out` does not take them.
    pub fn write(&mut self, out: impl Write, bytes: u64) -> std::io::Result<u64> {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        let (mut written, mut failing) = (0, 0);
        while written < bytes {
            let is_failing = self.random.next_u32().is_multiple_of(FAILING);
            let line = self.line(is_failing);
            out.write_all(line.as_bytes())?;
            written += line.len() as u64;
            failing += u64::from(is_failing);
        }
        out.flush()?;
        Ok(failing)
    }

    fn line(&mut self, is_failing: bool) -> String {
        let roll = self.random.next_u64();
        let pick = |shift: u32, of: u64| (roll >> shift) % of;
        let (minute, second, millis) = (pick(0, 60), pick(6, 60), pick(12, 1_000));
        let time = format!("2026-11-22T04:{minute:02}:{second:02}.{millis:03}Z");
        if !is_failing && pick(22, 100) == 0 {
            return format!(
                "{time}\tinfo\txdsproxy\tconnected to delta upstream XDS server: istiod.istio-system.svc:15012\tid={roll}\n"
            );
        }
        let service = format!("service-{}.team-{}.svc.cluster.local", pick(30, 40), pick(36, 12));
        let (caller, port) = (pick(40, 200), 30_000 + pick(48, 30_000));
        let id = format!("{roll:016x}-4674-8107-{:08x}", self.random.next_u32());
        let (code, flags, details, reason) = if !is_failing {
            (200, "-", "via_upstream".to_owned(), None)
        } else if pick(50, 4) == 0 || self.reasons.is_empty() {
            (
                503,
                "UC",
                "upstream_reset_before_response_started{connection_termination}".to_owned(),
                None,
            )
        } else {
            let index = usize::try_from(pick(52, self.reasons.len() as u64)).unwrap_or_default();
            let reason = &self.reasons[index];
            let details =
                format!("upstream_reset_before_response_started{{remote_connection_failure|{reason}}}");
            (503, "URX,UF", details, Some(reason.as_str()))
        };
        let local = if flags == "URX,UF" {
            "-".to_owned()
        } else {
            format!("10.0.2.{caller}:{port}")
        };
        let took = pick(3, 90);
        if pick(60, 3) == 0 {
            let reason = reason.map_or_else(|| "null".to_owned(), |it| format!("\"{it}\""));
            format!(
                "{{\"start_time\":\"{time}\",\"route_name\":\"default\",\"method\":\"GET\",\"path\":\"/api/items/{took}\",\"protocol\":\"HTTP/1.1\",\"response_code\":{code},\"response_flags\":\"{flags}\",\"response_code_details\":\"{details}\",\"connection_termination_details\":null,\"bytes_received\":0,\"bytes_sent\":239,\"duration\":{took},\"upstream_service_time\":null,\"x_forwarded_for\":null,\"user_agent\":\"okhttp/4.12\",\"request_id\":\"{id}\",\"authority\":\"{service}:8080\",\"upstream_host\":\"10.0.1.{caller}:8080\",\"upstream_cluster\":\"outbound|8080||{service}\",\"upstream_local_address\":\"{local}\",\"downstream_local_address\":\"10.96.0.{caller}:8080\",\"downstream_remote_address\":\"10.0.2.{caller}:{port}\",\"requested_server_name\":null,\"upstream_transport_failure_reason\":{reason}}}\n"
            )
        } else {
            let reason = reason.unwrap_or("-");
            format!(
                "[{time}] \"GET /api/items/{took} HTTP/1.1\" {code} {flags} {details} - \"{reason}\" 0 239 {took} - \"-\" \"okhttp/4.12\" \"{id}\" \"{service}:8080\" \"10.0.1.{caller}:8080\" outbound|8080||{service} {local} 10.96.0.{caller}:8080 10.0.2.{caller}:{port} - default\n"
            )
        }
    }
}

#[cfg(test)]
mod tests;
