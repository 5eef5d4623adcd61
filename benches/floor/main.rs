//! Unchanged scans beside the floor, on a tree of yours:
//!
//! ```sh
//! cargo bench --bench floor -- /some/tree [threads] [rounds]
//! ```
//!
//! With 0 rounds it is the floor alone, once, to be timed from outside beside a
//! whole `treeferry backup`.
//!
//! Each round runs all three in turn; the table shows medians, user and system
//! time of the process included. The base lies in memory, so that what is measured
//! is the scan and not the index.

#![allow(clippy::print_stdout, reason = "a program whose purpose is a table")]

mod floor;
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
#[path = "../../tests/support/memory_tree.rs"]
mod memory_tree;

use memory_tree::MemoryTree;
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::time::Instant;
use treeferry::model;
use treeferry::observe::Silent;
use treeferry::scan::{ScanOptions, SkipSettled, scan};

/// Wall seconds, and seconds of all cores.
#[derive(Clone, Copy)]
struct Cost(f64, f64);

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn measure(work: impl FnOnce()) -> Cost {
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    work();
    Cost(wall.elapsed().as_secs_f64(), cpu_seconds() - cpu)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let Some(root) = words.next() else {
        println!("usage: cargo bench --bench floor -- TREE [THREADS] [ROUNDS]");
        return;
    };
    let root = Path::new(&root);
    let number =
        |word: Option<String>, otherwise| word.and_then(|word| word.parse().ok()).unwrap_or(otherwise);
    let threads = number(words.next(), std::thread::available_parallelism().map_or(1, usize::from));
    let rounds = number(words.next(), 10);
    if rounds == 0 {
        return floor::walk(root, threads, &floor::Seen::default());
    }

    let tree = MemoryTree::default();
    let options = |skip_settled, same_rules_as_base| ScanOptions {
        threads,
        skip_settled,
        same_rules_as_base,
        ..ScanOptions::default()
    };
    let mut first = None;
    let build =
        measure(|| first = Some(scan(root, &tree, &tree, &options(SkipSettled::Off, false), &Silent)));
    let report = first.expect("it ran").expect("the tree can be scanned");
    tree.set_root(report.root);
    println!(
        "{} files, {} directories, {threads} threads, {rounds} rounds",
        report.totals.files, report.totals.directories
    );

    let seen = floor::Seen::default();
    floor::walk(root, threads, &seen);
    let unchanged = |skip| {
        let again = scan(root, &tree, &tree, &options(skip, true), &Silent).expect("the tree can be scanned");
        assert_eq!(again.root, report.root, "an unchanged tree is the base's own");
    };
    let mut costs: [Vec<Cost>; 3] = Default::default();
    for _ in 0..rounds {
        costs[0].push(measure(|| floor::walk(root, threads, &floor::Seen::default())));
        costs[1].push(measure(|| unchanged(SkipSettled::Off)));
        costs[2].push(measure(|| unchanged(SkipSettled::Auto)));
    }
    let medians = costs.map(|costs| {
        Cost(median(costs.iter().map(|c| c.0).collect()), median(costs.iter().map(|c| c.1).collect()))
    });
    println!("{:<28} {:>8} {:>8} {:>7} {:>7}", "", "wall s", "cpu s", "wall x", "cpu x");
    let names = ["floor", "unchanged scan, all listed", "unchanged scan, settled skip"];
    for (name, cost) in names.into_iter().zip(medians).chain([("first scan, into memory", build)]) {
        let (wall, cpu) = (cost.0 / medians[0].0, cost.1 / medians[0].1);
        println!("{name:<28} {:>8.3} {:>8.3} {wall:>7.2} {cpu:>7.2}", cost.0, cost.1);
    }
}
