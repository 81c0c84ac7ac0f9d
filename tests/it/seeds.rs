//! Which seeds a simulation plays, and playing them on all processors. The variables that choose
//! them are those that `sim` names.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often what happened: a simulation in which nothing happens proves nothing.
pub type Tally = BTreeMap<&'static str, u64>;

/// The seeds that are asked for: `Err` is a single one, of which nothing is summed up. `count` are
/// played when nothing is said.
pub fn chosen(count: u64) -> Result<Range<u64>, u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("TERCET_SIM_SEED") {
        return Err(seed);
    }
    let first = number("TERCET_SIM_FIRST").unwrap_or(0);
    Ok(first..first + number("TERCET_SIM_SEEDS").unwrap_or(count))
}

/// Plays these seeds, on as many threads as there are processors, and sums up what came of them.
pub fn play_all<T: Default + Send>(
    seeds: Range<u64>,
    play: impl Fn(u64) -> T + Sync,
    sum: impl Fn(&mut T, T) + Sync,
) -> T {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut total = T::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return total;
            }
            sum(&mut total, play(seed));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut total = T::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            sum(&mut total, worker.join().expect("a seed failed: see above"));
        }
    });
    total
}

/// Adds up.
pub fn add(total: &mut Tally, one: Tally) {
    for (what, count) in one {
        *total.entry(what).or_default() += count;
    }
}
