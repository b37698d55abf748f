//! How many cases of a campaign are tried.

use std::collections::BTreeSet;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whether every case is tried.
pub fn is_full() -> bool {
    number("ROUNDS").is_some()
}

/// The seeds of the campaign.
pub fn seeds() -> std::ops::Range<u64> {
    let first = number("SEED").unwrap_or(1);
    first..first + number("ROUNDS").unwrap_or(1)
}

/// About `some` of the cases, evenly; all in a full campaign.
pub fn choose<T: Clone>(cases: &[T], some: usize) -> Vec<T> {
    if is_full() || cases.len() <= some {
        return cases.to_vec();
    }
    (0..some).map(|i| cases[i * cases.len() / some].clone()).collect()
}

/// The first hit of every point, and about `some` of the others, evenly; all in a full campaign.
pub fn choose_hits(hits: &[(&'static str, u64)], some: usize) -> Vec<(&'static str, u64)> {
    let (first, others): (Vec<_>, Vec<_>) = hits.iter().copied().partition(|(_, k)| *k == 1);
    let mut chosen: BTreeSet<_> = first.into_iter().collect();
    chosen.extend(choose(&others, some));
    chosen.into_iter().collect()
}

/// Stops the test, naming the case.
pub fn must<T>(case: impl std::fmt::Debug, seed: u64, result: Result<T, String>) -> T {
    result.unwrap_or_else(|why| panic!("SEED={seed}, {case:?}: {why}"))
}
