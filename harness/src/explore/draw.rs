//! Worlds and cases by number: drawn from the seed and the number alone.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::case::{Case, case};
use super::world::{World, world};

/// How many cases share a world, and with it its proxies.
pub(super) const CASES_PER_WORLD: u32 = 25;

/// A case that can be shrunk.
pub(super) type CaseTree = Box<dyn ValueTree<Value = Case>>;

/// The world of a case.
pub(super) fn world_of(seed: u64, case: u32) -> World {
    let mut runner = runner(seed, case / CASES_PER_WORLD, 0);
    tree(&world(), &mut runner).current()
}

/// A case.
pub(super) fn case_of(seed: u64, number: u32) -> CaseTree {
    Box::new(tree(&case(), &mut runner(seed, number, 1)))
}

/// The strategies here reject nothing, so that one draw is always a value; the loop is for proptest's interface.
fn tree<S: Strategy>(strategy: &S, runner: &mut TestRunner) -> S::Tree {
    loop {
        if let Ok(tree) = strategy.new_tree(runner) {
            return tree;
        }
    }
}

fn runner(seed: u64, number: u32, what: u8) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&number.to_le_bytes());
    bytes[12] = what;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(Config::default(), rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_depends_on_seed_and_number_alone() {
        let drawn = |seed, number| {
            format!(
                "{:?} {:?}",
                world_of(seed, number),
                case_of(seed, number).current()
            )
        };
        assert_eq!(drawn(1, 30), drawn(1, 30));
        assert_ne!(drawn(1, 30), drawn(1, 31));
        assert_ne!(drawn(1, 30), drawn(2, 30));
    }
}
