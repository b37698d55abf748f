//! How many cases of a campaign are tried.

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whether every case is tried.
fn is_full() -> bool {
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

/// Stops the test, naming the case.
pub fn must<T>(case: impl std::fmt::Debug, seed: u64, result: Result<T, String>) -> T {
    result.unwrap_or_else(|why| panic!("SEED={seed}, {case:?}: {why}"))
}
