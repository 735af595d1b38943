//! The kernel as a witness. Trials that this machine cannot make are listed as ignored, with what is missing.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use meshproof::kernel::Tracer;
use meshproof::mesh::{Settings, Tier};
use meshproof::probe::kernel::Layer;
use meshproof::report::attribution;
use meshproof::scenario::{Catalogue, Options, execute, workspace_root};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

#[expect(clippy::print_stderr, reason = "says why trials are not made")]
fn main() -> ExitCode {
    // What this process connects to besides is taken for what a trial does, and each tracer connects to see that it is
    // up to date.
    let arguments = Arguments {
        test_threads: Some(1),
        ..Arguments::from_args()
    };
    let missing = Runtime::new().unwrap().block_on(Tracer::start()).err();
    if let Some(missing) = &missing {
        eprintln!("the kernel cannot be watched here: {missing}");
    }
    let trial = |name: &str, test: fn() -> Result<(), Failed>| {
        Trial::test(name, test).with_ignored_flag(missing.is_some())
    };
    let trials = vec![
        trial(
            "a_refusal_is_seen_with_who_dialled_and_nothing_else_is",
            a_refusal,
        ),
        trial("news_come_once", news),
        trial("calls_of_a_scenario_fail_at_the_layer_that_is_broken", scenario),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn a_refusal() -> Result<(), Failed> {
    Runtime::new()?.block_on(async {
        let tracer = Tracer::start().await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let somebody = listener.local_addr()?;
        let nobody = nobody().await?;
        TcpStream::connect(nobody).await.unwrap_err();
        let mark = tracer.mark().await?;
        let (stream, accepted) = tokio::join!(TcpStream::connect(somebody), listener.accept());
        drop((stream?, accepted?));
        TcpStream::connect(nobody).await.unwrap_err();
        let seen = tracer.since(mark).await?;
        let this = std::process::id();
        let ours: Vec<_> = seen.iter().filter(|it| it.process == this).collect();
        let attributions: Vec<Option<String>> = ours
            .iter()
            .map(|it| it.connection.attribution().map(|it| it.to_string()))
            .collect();
        let refused = format!("tcp: refused, nobody listens at {nobody}");
        assert_eq!(attributions, [None, Some(refused)], "{ours:#?}");
        Ok(())
    })
}

fn news() -> Result<(), Failed> {
    Runtime::new()?.block_on(async {
        let tracer = Tracer::start().await?;
        let nobody = nobody().await?;
        tracer.news().await?;
        TcpStream::connect(nobody).await.unwrap_err();
        let mut times = 0;
        for _ in 0..4 {
            let news = tracer.news().await?;
            times += news.iter().filter(|it| it.connection.server == nobody).count();
        }
        assert_eq!(times, 1);
        Ok(())
    })
}

fn scenario() -> Result<(), Failed> {
    let root = workspace_root(std::path::Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let catalogue = Catalogue::load(&root)?;
    let named = |name: &str| catalogue.scenarios.iter().find(|it| it.name() == name).unwrap();
    Runtime::new()?.block_on(async {
        let settings = Settings {
            kernel: Some(Arc::new(Tracer::start().await?)),
            ..Settings::default()
        };
        for (name, phase, expected) in [
            ("skew-1.24.0", "trailing-dot", Layer::Certificate),
            ("missing-sidecar", "client-without-sidecar", Layer::Proxy),
            ("refused-port", "refused", Layer::Tcp),
        ] {
            let result = execute(named(name), &Options::on(Tier::Local), &settings, |_| {}).await?;
            let phases: Vec<&str> = result.phases.iter().map(|it| it.name.as_str()).collect();
            let broken = result.phases.iter().find(|it| it.name == phase);
            let broken = broken.unwrap_or_else(|| panic!("{name} has no phase {phase} but {phases:?}"));
            let layers: Vec<Option<Layer>> = broken
                .calls
                .iter()
                .filter(|call| call.observed.as_ref().is_some_and(|it| !it.id.is_delivered()))
                .map(|call| attribution(&call.evidence).map(|it| it.layer))
                .collect();
            assert!(
                !layers.is_empty() && layers.iter().all(|it| *it == Some(expected)),
                "{name}: {layers:?}"
            );
            let control = result.phases.first().unwrap();
            assert!(
                control
                    .calls
                    .iter()
                    .all(|call| attribution(&call.evidence).is_none()),
                "{name}"
            );
            assert!(
                control.calls.iter().all(|call| !call.evidence.kernel.is_empty()),
                "{name}"
            );
        }
        Ok(())
    })
}

/// An address at which nobody listens.
async fn nobody() -> std::io::Result<std::net::SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()
}
