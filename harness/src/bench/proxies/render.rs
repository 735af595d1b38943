//! The table as text, as Markdown, and as a plot.

use askama::Template;

use super::{Measured, ProxiesBench, ProxyFigures};
use crate::bench::proxies::Figure;

/// Pixels of the plot: a line of text, where bars begin and end, and the whole.
const LINE: usize = 20;
const LEFT: f64 = 180.0;
const RIGHT: f64 = 560.0;
const WIDTH: usize = 860;

impl ProxiesBench {
    /// For a terminal: a row for each figure, a column for each proxy.
    #[must_use]
    pub fn text(&self) -> String {
        let mut rows = vec![vec!["median (min to max)".to_owned()]];
        rows[0].extend(self.proxies.iter().map(ProxyFigures::name));
        for figure in Figure::ALL {
            rows.push(vec![title(*figure)]);
            let cells = self.proxies.iter().map(|proxy| proxy.cell(*figure));
            rows.last_mut()
                .into_iter()
                .for_each(|row| row.extend(cells.clone()));
        }
        let columns = self.proxies.len() + 1;
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                rows.iter()
                    .map(|row| row[column].chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let line = |row: &Vec<String>| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut lines: Vec<String> = rows.iter().map(line).collect();
        lines.push(String::new());
        lines.extend(self.notes());
        lines.join("\n")
    }

    /// For a pull request or a document.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut lines = vec![format!(
            "| median (min to max) |{}",
            self.proxies
                .iter()
                .map(|proxy| format!(" {} |", proxy.name()))
                .collect::<String>()
        )];
        lines.push("|---|".to_owned() + &"---|".repeat(self.proxies.len()));
        for figure in Figure::ALL {
            let cells = self
                .proxies
                .iter()
                .map(|proxy| format!(" {} |", proxy.cell(*figure)));
            lines.push(format!("| {} |{}", title(*figure), cells.collect::<String>()));
        }
        lines.push(String::new());
        lines.extend(self.notes().into_iter().map(|note| format!("- {note}")));
        lines.join("\n")
    }

    /// A plot of every figure: the median as a point on the line from the least to the greatest round.
    ///
    /// # Errors
    /// When the template cannot be rendered.
    pub fn svg(&self) -> Result<String, askama::Error> {
        let mut y = 2 * LINE;
        let mut panels = Vec::new();
        for figure in Figure::ALL {
            let its = |proxy: &ProxyFigures| Some((proxy.name(), proxy.figure(*figure)?.clone()));
            let measured: Vec<(String, Measured)> = self.proxies.iter().filter_map(its).collect();
            if measured.is_empty() {
                continue;
            }
            let greatest = measured.iter().map(|(_, it)| it.spread.max).fold(0.0, f64::max);
            let place =
                |value: f64| LEFT + (RIGHT - LEFT) * value / if greatest > 0.0 { greatest } else { 1.0 };
            let top = y;
            let bars = measured.into_iter().map(|(name, it)| {
                y += LINE;
                Bar {
                    y,
                    name,
                    from: place(it.spread.min),
                    middle: place(it.spread.median),
                    to: place(it.spread.max),
                    differs: it.delta_percent.is_some(),
                    text: it.text(),
                }
            });
            let bars = bars.collect();
            panels.push(Panel {
                y: top,
                title: title(*figure),
                bars,
            });
            y += 2 * LINE;
        }
        let notes = self.notes();
        Plot {
            width: WIDTH,
            height: y + (notes.len() + 1) * LINE,
            left: LEFT,
            right: RIGHT,
            notes: notes
                .into_iter()
                .enumerate()
                .map(|(index, note)| (y + index * LINE, note))
                .collect(),
            panels,
        }
        .render()
    }

    /// What must be known to read the figures.
    fn notes(&self) -> Vec<String> {
        let extent = self.extent;
        let mut notes = vec![
            format!(
                "{} rounds, each with {} starts, {} handshakes, {} calls to a wrong name, {} healthy connections; one worker thread a proxy",
                extent.rounds, extent.starts, extent.handshakes, extent.wrong_names, extent.healthy
            ),
            "a percentage is the distance of medians from the first column, given only where no round of one lies among the other's, of four or more".to_owned(),
        ];
        notes.extend(self.proxies.iter().map(|proxy| {
            format!(
                "Envoy {} ran as Istio {} ({}), sha256 {}",
                proxy.envoy,
                proxy.istio,
                proxy.provenance,
                proxy.sha256.get(..16).unwrap_or(&proxy.sha256)
            )
        }));
        let here = &self.provenance;
        notes.push(format!(
            "{}, {}, {} processors, {}",
            here.kernel, here.machine, here.processors, here.written
        ));
        notes
    }
}

impl ProxyFigures {
    fn name(&self) -> String {
        format!("Envoy {}", self.envoy)
    }

    fn figure(&self, figure: Figure) -> Option<&Measured> {
        self.figures.iter().find(|it| it.figure == figure)
    }

    fn cell(&self, figure: Figure) -> String {
        self.figure(figure)
            .map_or_else(|| "not told by this system".to_owned(), Measured::text)
    }
}

impl Measured {
    fn text(&self) -> String {
        let spread = &self.spread;
        let [median, min, max] = [spread.median, spread.min, spread.max].map(short);
        let values = match min == max {
            true => median,
            false => format!("{median} ({min} to {max})"),
        };
        match self.delta_percent {
            Some(delta) => format!("{values}, {delta:+.0} %"),
            None => values,
        }
    }
}

fn title(figure: Figure) -> String {
    match figure.unit() {
        "" => figure.title().to_owned(),
        unit => format!("{}, {unit}", figure.title()),
    }
}

/// Three digits that say something.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

#[derive(Template)]
#[template(path = "proxies.svg", escape = "html")]
struct Plot {
    width: usize,
    height: usize,
    left: f64,
    right: f64,
    panels: Vec<Panel>,
    notes: Vec<(usize, String)>,
}

struct Panel {
    y: usize,
    title: String,
    bars: Vec<Bar>,
}

struct Bar {
    y: usize,
    name: String,
    from: f64,
    middle: f64,
    to: f64,
    differs: bool,
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::proxies::round::tests::round_of;
    use crate::bench::proxies::{Extent, figures};
    use crate::report::Provenance;

    fn table() -> ProxiesBench {
        let of = |mebibytes: [u64; 4], first: Option<&[Measured]>| {
            figures::measured(&mebibytes.map(round_of), first)
        };
        let first = of([40, 42, 41, 41], None);
        let second = of([60, 66, 63, 63], Some(&first));
        let component = round_of(1).component;
        let proxy = |minor, figures| ProxyFigures {
            envoy: semver::Version::new(1, minor, 0),
            istio: semver::Version::new(1, minor - 8, 0),
            provenance: component.provenance,
            sha256: component.sha256.clone(),
            figures,
        };
        ProxiesBench {
            extent: Extent {
                rounds: 4,
                starts: 1,
                handshakes: 100,
                wrong_names: 10,
                healthy: 100,
            },
            provenance: Provenance {
                kernel_capabilities: Vec::new(),
                meshproof: "0".to_owned(),
                commit: None,
                kernel: "Linux 6".to_owned(),
                machine: "x86_64".to_owned(),
                processors: 2,
                written: "2026-01-01T00:00:00Z".to_owned(),
            },
            proxies: vec![proxy(37, first), proxy(38, second)],
        }
    }

    #[test]
    fn a_table_has_the_spread_and_only_the_differences_that_are_some() {
        insta::assert_snapshot!("text", table().text());
        insta::assert_snapshot!("markdown", table().markdown());
    }

    #[test]
    fn a_plot_is_drawn_within_its_frame() {
        let svg = table().svg().unwrap();
        assert_eq!(svg.matches("class=\"median\"").count(), 2 * Figure::ALL.len());
        assert_eq!(svg.matches("class=\"bar differs\"").count(), 1);
        for place in svg
            .split("cx=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            let place: f64 = place.parse().unwrap();
            assert!((LEFT..=RIGHT).contains(&place), "{place}");
        }
    }
}
