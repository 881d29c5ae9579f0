// SPDX-License-Identifier: Apache-2.0
//! Allocates as Rust programs do: boxes, vectors, strings, maps, trait objects, closures, iterators, panics that are caught.
//!
//!     stack_rust THREADS    0: only this thread, so that two runs do the same
use std::collections::BTreeMap;
use std::panic;
use std::thread;

trait Shape {
    fn name(&self) -> String;
}

struct Leaf(String);
struct Inner(Vec<Box<dyn Shape>>);

impl Shape for Leaf {
    fn name(&self) -> String {
        self.0.clone() + "!"
    }
}

impl Shape for Inner {
    fn name(&self) -> String {
        self.0.iter().map(|child| child.name()).collect::<Vec<_>>().join("-")
    }
}

fn tree(seed: u32, more: u32) -> Box<dyn Shape> {
    if more == 0 {
        return Box::new(Leaf(format!("leaf {}", seed % 1000)));
    }
    Box::new(Inner((0..1 + seed % 3).map(|i| tree(seed.wrapping_mul(5) + i, more - 1)).collect()))
}

fn folded(f: Box<dyn Fn(usize) -> usize>, more: u32) -> usize {
    if more == 0 {
        return f(0);
    }
    let captured = "c".repeat(more as usize);
    folded(Box::new(move |n| f(n + 1) + captured.clone().len()), more - 1)
}

fn panicking(path: u32, more: u32) -> String {
    let on_the_way = vec![path; 1 + more as usize];
    if more == 0 {
        panic::panic_any(format!("{path}"));
    }
    if path % 3 == 0 {
        let caught = panic::catch_unwind(|| panicking(path / 2, more - 1));
        return format!("{:?} {}", on_the_way, caught.is_err());
    }
    panicking(path / 2, more - 1) + &on_the_way.len().to_string()
}

fn work(seed: u32) -> usize {
    let mut table: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut sum = 0;
    for i in 0..300u32 {
        let path = (seed + i).wrapping_mul(2654435761) >> 20;
        let name = tree(path, path % 5).name();
        table.entry(name.chars().take(path as usize % 40).collect()).or_default().push(path);
        sum += folded(Box::new(|n| n), path % 12);
        sum += panic::catch_unwind(|| panicking(path, path % 6)).map_or(1, |text| text.len());
        if i % 40 == 39 {
            let mut names: Vec<String> = table.keys().cloned().collect();
            names.sort_by_key(|name| name.chars().rev().collect::<String>());
            sum += names.len();
        }
    }
    sum
}

fn main() {
    panic::set_hook(Box::new(|_| {}));
    let threads: u32 = std::env::args().nth(1).map_or(0, |n| n.parse().unwrap());
    for round in 0..if threads > 0 { 6 } else { 1 } {
        let running: Vec<_> = (0..threads).map(|i| thread::spawn(move || work(i + round))).collect();
        assert!(work(round) > 0);
        for thread in running {
            thread.join().unwrap();
        }
    }
}
