// SPDX-License-Identifier: Apache-2.0
//! Eight sites of Rust: functions, generics, methods, traits, closures, inlined ones. The plan and the output are those of sites.h.
use std::alloc::{alloc, dealloc, Layout};

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).unwrap()
}

static mut SINK: *mut u8 = std::ptr::null_mut();

/// So that no allocation is left out, and none is in the place of a return.
#[inline(always)]
fn kept(p: *mut u8) -> *mut u8 {
    unsafe { std::ptr::write_volatile(std::ptr::addr_of_mut!(SINK), p) };
    p
}

#[inline(never)]
fn plain(line: &mut u32) -> *mut u8 {
    *line = line!(); let p = unsafe { alloc(layout(100)) };
    kept(p)
}

mod nested {
    #[inline(never)]
    pub fn deep(line: &mut u32) -> *mut u8 {
        *line = line!(); let p = unsafe { std::alloc::alloc(super::layout(200)) };
        super::kept(p)
    }
}

#[inline(never)]
fn generic<T>(line: &mut u32) -> *mut u8 {
    *line = line!(); let p = unsafe { alloc(layout(50 * std::mem::size_of::<T>() + 100)) };
    kept(p)
}

struct Shop;
impl Shop {
    #[inline(never)]
    fn sell(&self, line: &mut u32) -> *mut u8 {
        *line = line!(); let p = unsafe { alloc(layout(500)) };
        kept(p)
    }
}

trait Make {
    fn make(&self, line: &mut u32) -> *mut u8;
}
impl Make for Shop {
    #[inline(never)]
    fn make(&self, line: &mut u32) -> *mut u8 {
        *line = line!(); let p = unsafe { alloc(layout(600)) };
        kept(p)
    }
}

#[inline(always)]
fn inlined(line: &mut u32) -> *mut u8 {
    *line = line!(); let p = unsafe { alloc(layout(700)) };
    kept(p)
}
#[inline(never)]
fn caller(line: &mut u32) -> *mut u8 {
    kept(inlined(line))
}

struct Site {
    name: &'static str,
    into: &'static str,
    bytes: usize,
    make: fn(&mut u32) -> *mut u8,
    line: u32,
}

fn drop_object(p: *mut u8, bytes: usize) {
    unsafe { dealloc(p, layout(bytes)) }
}

fn main() {
    let mut gone = vec![std::ptr::null_mut(); 1000];
    let v0 = std::env::args().count() > 1;
    let mut sites = [
        Site { name: "plain", into: "", bytes: 100, make: plain, line: 0 },
        Site { name: "nested::deep", into: "", bytes: 200, make: nested::deep, line: 0 },
        Site { name: if v0 { "generic::<u16>" } else { "generic" }, into: "", bytes: 200, make: generic::<u16>, line: 0 },
        Site { name: if v0 { "generic::<[u8; 5]>" } else { "generic" }, into: "", bytes: 350, make: generic::<[u8; 5]>, line: 0 },
        Site { name: if v0 { "<sites_rust::Shop>::sell" } else { "Shop::sell" }, into: "", bytes: 500, make: |l| Shop.sell(l), line: 0 },
        Site { name: "<sites_rust::Shop as sites_rust::Make>::make", into: "", bytes: 600, make: |l| Shop.make(l), line: 0 },
        Site { name: "inlined", into: "sites_rust::caller", bytes: 700, make: caller, line: 0 },
    ];
    std::thread::sleep(std::time::Duration::from_millis(300)); // for the recorder to see where the code is
    let n = sites.len();
    let mut next = 0;
    for (i, s) in sites.iter_mut().enumerate() {
        for _ in 0..2 * (i + 1) {
            gone[next] = (s.make)(&mut s.line);
            next += 1;
        }
    }
    for i in 0..n {
        for _ in 0..i + 1 {
            let s = &mut sites[i];
            (s.make)(&mut s.line);
        }
    }
    next = 0;
    for (i, s) in sites.iter().enumerate() {
        for _ in 0..2 * (i + 1) {
            drop_object(gone[next], s.bytes);
            next += 1;
        }
    }
    for (i, s) in sites.iter_mut().enumerate() {
        for _ in 0..3 * (i + 1) {
            let p = (s.make)(&mut s.line);
            drop_object(p, s.bytes);
        }
    }
    for (i, s) in sites.iter().enumerate() {
        let k = i + 1;
        println!("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", s.name, s.line, s.into, k, k * s.bytes, 6 * k, 6 * k * s.bytes, 3 * k,
                 3 * k * s.bytes, 3 * k * s.bytes);
    }
}
