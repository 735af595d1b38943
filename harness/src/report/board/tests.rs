use std::collections::BTreeMap;

use super::*;

/// A run of made-up results.
fn run(lines: &[String]) -> Run {
    Run {
        results: lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        provenance: None,
    }
}

fn held(scenario: &str, observed: &str, client: &str) -> String {
    result(scenario, "held", observed, client)
}

fn result(scenario: &str, verdict: &str, observed: &str, client: &str) -> String {
    format!(
        r#"{{"scenario":"{scenario}","tier":"local","verdict":"{verdict}","components":[],"millis":9.0,
           "releases":{{"client":"{client}"}},"reproduce":"cargo xtask scenario {scenario} --client {client}",
           "phases":[{{"name":"broken","verdict":"{verdict}","faults":["san-suffix"],"millis":9.0,
           "policies":["PeerAuthentication/payments/strict"],"calls":[{{"id":"{scenario}::broken::payments/checkout->payments/payment:8080",
           "from":"payments/checkout","to":"payment.payments.svc.cluster.local:8080","call":"app","expected":{{"outcome":"mtls"}},
           "predicted":{{"outcome":"mtls"}},"observed":{{"outcome":"{observed}"}},"verdict":"{verdict}","millis":1.0,
           "location":"scenarios/{scenario}.yaml:21","evidence":{{"caller":{{"connect":"connected","ended":"reset"}}}}}}]}}]}}"#
    )
}

fn not_run(scenario: &str, reason: &str) -> String {
    format!(
        r#"{{"scenario":"{scenario}","tier":"kind","verdict":"not-run","reason":"{reason}","components":[],"phases":[],
           "millis":0.0,"reproduce":"cargo xtask scenario {scenario} --on kind"}}"#
    )
}

fn shards() -> Vec<Run> {
    vec![
        run(&[
            held("skew", "mtls", "1.30.0"),
            not_run("beyond", "no Docker | here"),
        ]),
        run(&[
            held("skew", "mtls", "1.31.0"),
            result("skew", "falsified", "plaintext", "1.32.0"),
        ]),
    ]
}

#[test]
fn shards_are_columns_of_one_board() {
    insta::assert_snapshot!(text(&Board::of(&shards()), None));
}

fn text(board: &Board<'_>, width: Option<u16>) -> String {
    BoardText {
        board,
        width,
        colour: false,
    }
    .to_string()
}

#[test]
fn the_table_fits_the_terminal() {
    let long = "a-scenario-with-a-name-that-is-longer-than-most-of-them";
    let runs = [run(&[
        held(long, "mtls", "1.30.0"),
        result("skew", "falsified", "plaintext", "1.31.0"),
    ])];
    let board = Board::of(&runs);
    for width in [60, 80, 120] {
        let text = text(&board, Some(width));
        let table: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with("tier"))
            .collect();
        assert!(table.len() > 3, "{text}");
        for line in &table {
            assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
        }
        let line_of = |release: &str| table.iter().position(|line| line.contains(release)).unwrap();
        assert!(line_of("1.31.0") < line_of("1.30.0"), "failures first: {text}");
    }
}

#[test]
fn a_falsified_run_is_not_undone_by_one_that_held() {
    let held = run(&[held("skew", "mtls", "1.30.0")]);
    let falsified = run(&[result("skew", "falsified", "plaintext", "1.30.0")]);
    for runs in [[&held, &falsified], [&falsified, &held]] {
        let board = Board::of(runs);
        let cells: Vec<_> = board
            .cells()
            .map(|(_, cell)| (cell.result.verdict, cell.runs))
            .collect();
        assert_eq!(cells, [(Verdict::Falsified, 2)]);
    }
}

#[test]
fn github_is_told_the_line_of_what_was_falsified() {
    insta::assert_snapshot!(annotations(&Board::of(&shards())).join("\n"));
}

#[test]
fn the_summary_of_a_step_is_a_table_that_reasons_do_not_break() {
    insta::assert_snapshot!(step_summary(&Board::of(&shards())).unwrap());
}

#[test]
fn junit_skips_what_was_not_run_with_its_reason() {
    insta::assert_snapshot!(junit(&Board::of(&shards())).unwrap());
}

#[test]
fn runs_that_showed_the_same_are_shown_once_and_one_that_was_falsified_by_itself() {
    let page = page(&Board::of(&shards()), None).unwrap();
    assert!(page.contains("2 runs showed the same"), "{page}");
    assert_eq!(page.matches("<svg ").count(), 2);
    assert_eq!(page.matches("<details open>").count(), 1);
    assert!(page.contains("no Docker | here"));
}

#[test]
fn the_page_needs_nothing_beside_it_and_escapes_what_it_is_given() {
    let strange = run(&[not_run("beyond", "<script src=//evil>")]);
    let page = page(&Board::of([&strange]), None).unwrap();
    assert!(!page.contains("<script src"), "{page}");
    for outside in ["http://", "https://", "@import", "url(", "<link rel=\"stylesheet"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn ten_thousand_calls_that_twenty_settings_answer_alike_are_below_five_megabytes() {
    let runs: Vec<Run> = (0..20)
        .map(|minor| {
            let lines: Vec<String> = (0..500)
                .map(|number| held(&format!("scenario-{number}"), "mtls", &format!("1.{minor}.0")))
                .collect();
            run(&lines)
        })
        .collect();
    let page = page(&Board::of(&runs), None).unwrap();
    assert!(page.len() < 5_000_000, "{}", page.len());
}

/// Ink on ground, as WCAG 2.2 asks of text (1.4.3): 4.5 to 1.
#[test]
fn every_ink_can_be_read_on_its_ground_in_the_light_and_in_the_dark() {
    let css = include_str!("../../../templates/report.css");
    let blocks: Vec<BTreeMap<&str, [u8; 3]>> = css.split(":root {").skip(1).map(palette).collect();
    assert_eq!(blocks.len(), 2);
    for palette in blocks {
        let mut pairs = vec![
            ("held-ink", "held-ground"),
            ("falsified-ink", "falsified-ground"),
            ("not-run-ink", "not-run-ground"),
        ];
        for ink in ["ink", "faint", "link", "mtls", "open", "refused", "none"] {
            pairs.extend([(ink, "ground"), (ink, "panel")]);
        }
        for (ink, ground) in pairs {
            let ratio = contrast(palette[ink], palette[ground]);
            assert!(ratio >= 4.5, "--{ink} on --{ground}: {ratio:.2}");
        }
    }
}

fn palette(block: &str) -> BTreeMap<&str, [u8; 3]> {
    let body = block.split('}').next().unwrap();
    let colours = body
        .split(';')
        .filter_map(|it| it.trim().strip_prefix("--")?.split_once(": #"));
    colours
        .map(|(name, hex)| {
            let channel = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (name, [channel(0), channel(2), channel(4)])
        })
        .collect()
}

fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: [u8; 3]) -> f64 {
    let [red, green, blue] = colour.map(|channel| {
        let channel = f64::from(channel) / 255.0;
        if channel <= 0.04045 {
            channel / 12.92
        } else {
            ((channel + 0.055) / 1.055).powf(2.4)
        }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}
