//! Interleaved pairs: two things measured in turn, so that a machine that is slower for a while is slower for both.

use crate::Result;

/// How often each pair is measured.
pub const PAIRS: usize = 7;

/// The middle of some numbers, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl Spread {
    /// Of at least one number.
    pub fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |index: usize| numbers.get(index).copied().unwrap_or(f64::NAN);
        let middle = numbers.len() / 2;
        let median = if numbers.len().is_multiple_of(2) {
            (at(middle.wrapping_sub(1)) + at(middle)) / 2.0
        } else {
            at(middle)
        };
        Self { median, low: at(0), high: at(numbers.len().wrapping_sub(1)) }
    }
}

impl Spread {
    /// In another unit.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { median: self.median * factor, low: self.low * factor, high: self.high * factor }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} ({:.3} - {:.3})", self.median, self.low, self.high)
    }
}

/// Measures `ours` and `theirs` in turn, each second pair in the other order. Both run once before, unmeasured.
///
/// # Errors
///
/// Theirs.
pub fn interleaved<T>(
    pairs: usize,
    mut ours: impl FnMut() -> Result<T>,
    mut theirs: impl FnMut() -> Result<T>,
) -> Result<Vec<(T, T)>> {
    ours()?;
    theirs()?;
    (0..pairs)
        .map(|pair| {
            if pair.is_multiple_of(2) {
                let first = ours()?;
                Ok((first, theirs()?))
            } else {
                let first = theirs()?;
                Ok((ours()?, first))
            }
        })
        .collect()
}

/// Prints whether a bound holds, and gives back whether it does.
pub fn verdict(what: &str, value: f64, holds: bool, bound: &str) -> bool {
    println!("{}  {what}: {value:.3}, wanted {bound}", if holds { "holds " } else { "FAILS " });
    holds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_the_ends() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { median: 2.0, low: 1.0, high: 3.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }

    #[test]
    fn pairs_alternate_their_order() {
        let order = std::cell::RefCell::new(String::new());
        let note = |c: char| {
            order.borrow_mut().push(c);
            Ok(c)
        };
        let pairs = interleaved(2, || note('o'), || note('t')).unwrap();
        assert_eq!((order.into_inner().as_str(), pairs), ("ototto", vec![('o', 't'); 2]));
    }
}
