//! What containers have logged, line by line, with the time of each.

use std::collections::BTreeMap;

use crate::request::Asked;

/// Namespace, pod, and container where one is named.
type Place = (String, String, Option<String>);

/// The logs of all containers.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    /// Lines by place, each with its number among all lines: a millisecond is one line.
    lines: BTreeMap<Place, Vec<(u64, String)>>,
    count: u64,
}

impl Logs {
    pub(crate) fn append(&mut self, namespace: &str, pod: &str, container: Option<&str>, text: &str) {
        let key = (namespace.to_owned(), pod.to_owned(), container.map(str::to_owned));
        let lines = self.lines.entry(key).or_default();
        for line in text.lines() {
            self.count += 1;
            lines.push((self.count, line.to_owned()));
        }
    }

    /// `None` where the container has logged nothing.
    pub(crate) fn read(&self, asked: &Asked) -> Option<String> {
        let key = (
            asked.namespace.clone().unwrap_or_default(),
            asked.name.clone().unwrap_or_default(),
            asked.query.get("container").cloned(),
        );
        let query = |name: &str| asked.query.get(name).map(String::as_str).unwrap_or_default();
        let is_timed = query("timestamps") == "true";
        // The server compares whole seconds.
        let since = query("sinceTime").get(..19).unwrap_or_default();
        let lines = self.lines.get(&key)?.iter();
        let lines = lines.map(|(number, line)| (time(*number), line));
        let asked_for = lines.filter(|(time, _)| since.is_empty() || time.get(..19) >= Some(since));
        let text = asked_for.map(|(time, line)| {
            if is_timed {
                format!("{time} {line}\n")
            } else {
                format!("{line}\n")
            }
        });
        Some(text.collect())
    }
}

fn time(number: u64) -> String {
    let (seconds, millis) = (number / 1000, number % 1000);
    let (hours, minutes, seconds) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}000000Z")
}
