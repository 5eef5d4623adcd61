//! The floor alone, once, to be timed from outside beside a whole
//! `treeferry backup` (see `benches/README.md`):
//!
//! ```sh
//! cargo bench --bench floor -- /some/tree [threads]
//! ```

#![allow(clippy::print_stdout, reason = "a program whose purpose is a line of text")]

use std::path::Path;
use treeferry::scan::{FloorSeen, floor_walk};

fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let Some(root) = words.next() else {
        println!("usage: cargo bench --bench floor -- TREE [THREADS]");
        return Ok(());
    };
    let threads = words.next().and_then(|word| word.parse().ok());
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let seen = FloorSeen::default();
    floor_walk(Path::new(&root), threads, &seen)?;
    println!("{:?}", seen);
    Ok(())
}
