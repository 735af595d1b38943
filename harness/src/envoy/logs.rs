//! Reading back what a proxy wrote since the last look.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::probe::evidence::AccessLogEntry;

/// A log file and how far it has been read. Only whole lines are taken.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    offset: u64,
}

impl Tail {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            offset: 0,
        }
    }

    /// The whole lines written since the last call. A file that does not exist yet has none.
    pub(crate) fn read(&mut self) -> Vec<String> {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_string(&mut text)
        });
        if read.is_err() {
            return Vec::new();
        }
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.offset += whole as u64;
        text[..whole].lines().map(str::to_owned).collect()
    }
}

/// Which log a line of the access log belongs to, as `config::access_log` names it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Log {
    Outbound,
    Inbound,
    Listener,
}

/// One line of a proxy's access log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) log: Log,
    pub(crate) entry: AccessLogEntry,
}

impl Line {
    /// Reads a line; `None` if it is not one of ours.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
        let log = serde_json::from_value(fields.remove("log")?).ok()?;
        // Envoy writes null or `-` for what a line does not have.
        fields.retain(|_, value| !value.is_null() && value != "-" && value != "");
        let entry = serde_json::from_value(fields.into()).ok()?;
        Some(Self { log, entry })
    }
}

/// Which of Istio's logs a line would be in. Marked, because all lines go to one file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Marked {
    /// As installed, in text.
    Text,
    /// As installed, in JSON.
    Json,
    /// With the visibility manifests.
    Visible,
}

/// The field that marks a line in JSON.
pub(crate) const MARK_FIELD: &str = "istio_log";

impl Marked {
    const ALL: [Self; 3] = [Self::Text, Self::Json, Self::Visible];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Visible => "visible",
        }
    }

    /// What marks a line in text.
    pub(crate) fn before_text(self) -> String {
        format!("{MARK_FIELD}={} ", self.as_str())
    }

    /// The line without its mark; `None` if it is none of Istio's.
    pub(crate) fn unmark(line: &str) -> Option<(Self, String)> {
        let of = |name: &str| Self::ALL.into_iter().find(|it| it.as_str() == name);
        if let Some(rest) = line.strip_prefix(MARK_FIELD) {
            let (name, rest) = rest.strip_prefix('=')?.split_once(' ')?;
            return Some((of(name)?, rest.to_owned()));
        }
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
        let mark = of(fields.remove(MARK_FIELD)?.as_str()?)?;
        Some((mark, serde_json::Value::Object(fields).to_string()))
    }
}

/// The message of a line of Envoy's own log if it speaks of TLS or of how a connection ended.
pub(crate) fn debug_message(line: &str) -> Option<&str> {
    // `[time][level][component] [Tags: …] message`
    telling(line.splitn(4, ']').nth(3)?)
}

/// The same of a line as istio-proxy writes it: `time\tlevel\tenvoy component file:line\tmessage\tthread=1`
/// (`--log-format` of pkg/envoy/proxy.go@1.30.3).
pub(crate) fn debug_message_of_istio(line: &str) -> Option<&str> {
    let mut fields = line.split('\t');
    let scope = fields.nth(2)?;
    telling(fields.next().filter(|_| scope.starts_with("envoy connection "))?)
}

fn telling(message: &str) -> Option<&str> {
    const TELLING: [&str; 7] = [
        "verif",
        "TLS_error",
        "SSL",
        "connect timeout",
        "delayed connect error",
        "secret",
        "connecting to",
    ];
    let message = message.trim_start();
    TELLING
        .into_iter()
        .any(|word| message.contains(word) || is_connected(message))
        .then_some(message)
        .filter(|message| !message.contains("SSL shutdown"))
}

/// TCP came up, whatever is spoken over it: the one sign that tells a port that is silent from one that is not there.
fn is_connected(message: &str) -> bool {
    message.ends_with("] connected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_came_up_is_worth_keeping() {
        let line =
            |message| format!("[12:00:00.000][debug][connection] [Tags: \"ConnectionId\":\"3\"] {message}");
        for (message, is_kept) in [
            ("connected", true),
            ("connecting to 127.0.0.1:1", true),
            ("closing socket: 1", false),
        ] {
            assert_eq!(debug_message(&line(message)).is_some(), is_kept, "{message}");
        }
    }

    #[test]
    fn a_line_of_istio_proxy_tells_the_same_and_lines_of_its_agent_tell_nothing() {
        let line = "2026-11-22T04:51:20.030423Z\tdebug\tenvoy connection source/common/tls/ssl_socket.cc:269\t\
                    [Tags: \"ConnectionId\":\"2\"] remote address:127.0.0.1:58841,TLS_error:|1:SSL\tthread=22";
        let told = "[Tags: \"ConnectionId\":\"2\"] remote address:127.0.0.1:58841,TLS_error:|1:SSL";
        assert_eq!(debug_message_of_istio(line), Some(told));
        let agent = "2026-11-22T04:51:20.030423Z\tinfo\tcache\tgenerated new workload secret";
        assert_eq!(debug_message_of_istio(agent), None);
    }

    #[test]
    fn absent_fields_are_absent() {
        let line = r#"{"log":"listener","flags":"-","code":0,"tls":null,"peer":"127.0.0.1:4"}"#;
        let parsed = Line::parse(line).unwrap();
        assert_eq!(parsed.log, Log::Listener);
        assert_eq!(parsed.entry.flags, None);
        assert_eq!(parsed.entry.peer.as_deref(), Some("127.0.0.1:4"));
    }

    #[test]
    fn lines_of_istio_are_told_by_their_mark_and_lose_it() {
        for (line, expected) in [
            (
                "istio_log=text [2026] \"- - -\" 0",
                Some((Marked::Text, "[2026] \"- - -\" 0")),
            ),
            (
                r#"{"istio_log":"visible","response_code":0}"#,
                Some((Marked::Visible, r#"{"response_code":0}"#)),
            ),
            (r#"{"log":"listener","code":0}"#, None),
        ] {
            let unmarked = Marked::unmark(line);
            assert_eq!(
                unmarked.as_ref().map(|(mark, line)| (*mark, line.as_str())),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn half_a_line_is_left_for_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut tail = Tail::new(&path);
        assert!(tail.read().is_empty());
        std::fs::write(&path, "one\ntw").unwrap();
        assert_eq!(tail.read(), ["one"]);
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(tail.read(), ["two"]);
    }
}
