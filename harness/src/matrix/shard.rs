//! A part of the matrix, as long as every other part.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use super::{Cell, Costs};

/// One of several parts: `2/5`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shard {
    number: usize,
    of: usize,
}

/// No shard.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ShardError {
    /// Not of the form.
    #[error("a shard is its number and how many there are, as 2/5; or index/5, in a pod of an indexed Job")]
    Form,
    /// A number outside of them.
    #[error("there is no shard {number} of {of}: they are counted from 1")]
    Range {
        /// The number.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// `index/5`, and no index.
    #[error(
        "index/{of} needs JOB_COMPLETION_INDEX, which Kubernetes sets in the pods of an indexed Job to 0 … {}",
        of - 1
    )]
    NoIndex {
        /// How many there are.
        of: usize,
    },
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Shard `number` of `of`, counted from 1.
    ///
    /// # Errors
    /// [`ShardError::Range`].
    pub fn new(number: usize, of: usize) -> Result<Self, ShardError> {
        if number == 0 || number > of {
            return Err(ShardError::Range { number, of });
        }
        Ok(Self { number, of })
    }

    /// Reads `2/5`, or `index/5` with the index that a pod of an indexed Job has, counted from 0.
    ///
    /// # Errors
    /// See [`ShardError`].
    pub fn parse(text: &str, index: Option<&str>) -> Result<Self, ShardError> {
        let (number, of) = text.split_once('/').ok_or(ShardError::Form)?;
        let of = of.parse().map_err(|_| ShardError::Form)?;
        let number = match number {
            _ if of == 0 => return Err(ShardError::Form),
            "index" => {
                let index: Option<usize> = index.and_then(|it| it.parse().ok());
                index.ok_or(ShardError::NoIndex { of })?.saturating_add(1)
            }
            number => number.parse().map_err(|_| ShardError::Form)?,
        };
        Self::new(number, of)
    }

    /// The cells of this shard. The dearest cells are dealt first, each to the shard that has the least so far, so that no
    /// shard lasts longer than a third above the best there could be (Graham, 1969).
    #[must_use]
    pub fn of<'a, T: Ord>(
        self,
        cells: impl IntoIterator<Item = (T, &'a Cell)>,
        costs: &Costs,
    ) -> Vec<(T, &'a Cell)> {
        let mut dealt: Vec<_> = cells
            .into_iter()
            .map(|cell| (costs.of(&cell.1.scenario), cell))
            .collect();
        dealt.sort_by(|(left_cost, left), (right_cost, right)| {
            (Reverse(left_cost), left).cmp(&(Reverse(right_cost), right))
        });
        let mut load = vec![0_u64; self.of];
        let mut mine = Vec::new();
        for (cost, cell) in dealt {
            let least = (0..self.of).min_by_key(|shard| load[*shard]).unwrap_or(0);
            load[least] += cost;
            if least + 1 == self.number {
                mine.push(cell);
            }
        }
        mine.sort();
        mine
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        Self::parse(text, None)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}
