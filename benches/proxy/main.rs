//! The counting proxy of the tests as a program: `proxy SERVER_PORT LATENCY_MS`.
//!
//! Its first line tells the port it listens on. For each line on its standard
//! input it tells how many requests came since the last one, by method, and
//! begins anew. It ends with its standard input.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people who measure")]

#[allow(dead_code, unreachable_pub, reason = "the tests use the rest")]
#[path = "../../tests/support/proxy.rs"]
mod proxy;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::time::Duration;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let server_port = numbers.next().and_then(|port| u16::try_from(port).ok());
    let server_port = server_port.expect("usage: proxy SERVER_PORT LATENCY_MS");
    let proxy = proxy::Proxy::start(server_port);
    proxy.set_latency(Duration::from_millis(numbers.next().unwrap_or(0)));
    println!("{}", proxy.port);
    for line in std::io::stdin().lock().lines() {
        line.unwrap();
        let mut by_method: BTreeMap<String, u64> = BTreeMap::new();
        for seen in proxy.seen() {
            *by_method.entry(seen.method).or_default() += 1;
        }
        proxy.forget();
        let counts: Vec<String> =
            by_method.iter().map(|(method, count)| format!("\"{method}\": {count}")).collect();
        println!("{{{}}}", counts.join(", "));
    }
}
