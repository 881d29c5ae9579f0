// SPDX-License-Identifier: Apache-2.0
// An HTTP server of Rust's standard library, a thread for each connection, that times its requests itself:
//
//   GET  /wait/MS    answers that many milliseconds later
//   GET  /spin/MS    computes for that long first
//   POST /sessions   makes a session of SESSION_BYTES (1000); with KEEP=all all of them leak, else the last hundred are kept
//   GET  /items/ID, /search    keep nothing
//   GET  /kept       how many sessions were made, and their bytes that are kept
//
// It prints "listening on PORT". Where TIMES names a file, it gets a line "METHOD PATH NANOSECONDS" for each request: from
// the return of the read that brought its first byte to the return of the write of its answer. The line is written
// behind that.
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

const KEPT: usize = 100;

struct Sessions {
    bytes: usize, // of each
    keep_all: bool,
    made: usize,
    last: VecDeque<Box<[u8]>>,
}

#[inline(never)]
fn session_create(sessions: &mut Sessions) -> String {
    let session = vec![b'x'; sessions.bytes].into_boxed_slice();
    sessions.made += 1;
    if sessions.keep_all {
        Box::leak(session);
    } else {
        sessions.last.push_back(session);
        if sessions.last.len() > KEPT {
            sessions.last.pop_front();
        }
    }
    format!("session {}\n", sessions.made)
}

fn search() -> String {
    let found: Vec<String> = (0..30).map(|i| format!("result {}", i)).collect();
    found.join("\n")
}

fn spin(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {}
}

fn answer(method: &str, path: &str, sessions: &Mutex<Sessions>) -> String {
    let mut words = path.split('/').skip(1);
    let what = words.next().unwrap_or("");
    let time = Duration::from_millis(words.next().and_then(|n| n.parse().ok()).unwrap_or(0));
    match (method, what) {
        ("GET", "wait") => sleep(time),
        ("GET", "spin") => spin(time),
        ("POST", "sessions") => return session_create(&mut sessions.lock().unwrap()),
        ("GET", "search") => return search(),
        ("GET", "kept") => {
            let s = sessions.lock().unwrap();
            let kept = if s.keep_all { s.made } else { s.last.len() };
            return format!("{} {}\n", s.made, kept * s.bytes);
        }
        _ => (),
    }
    format!("path {}\n", path)
}

fn serve(stream: TcpStream, sessions: &Mutex<Sessions>, times: Option<&File>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while !reader.fill_buf()?.is_empty() {
        let begin = Instant::now();
        let (mut line, mut length) = (String::new(), 0);
        reader.read_line(&mut line)?;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let text = answer(method, path, sessions);
        writer.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", text.len(), text).as_bytes())?;
        let took = begin.elapsed();
        if let Some(mut file) = times {
            file.write_all(format!("{} {} {}\n", method, path, took.as_nanos()).as_bytes())?;
        }
    }
    Ok(())
}

fn main() {
    let bytes = std::env::var("SESSION_BYTES").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let keep_all = std::env::var("KEEP").map_or(false, |keep| keep == "all");
    let times = Arc::new(std::env::var("TIMES").ok().map(|path| File::create(path).expect("TIMES")));
    let sessions = Arc::new(Mutex::new(Sessions { bytes, keep_all, made: 0, last: VecDeque::new() }));
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    println!("listening on {}", listener.local_addr().expect("address").port());
    for stream in listener.incoming() {
        let (sessions, times) = (sessions.clone(), times.clone());
        std::thread::spawn(move || stream.and_then(|stream| serve(stream, &sessions, (*times).as_ref())));
    }
}
