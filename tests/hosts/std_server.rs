// SPDX-License-Identifier: Apache-2.0
// Rust's standard library as a server: a thread a connection, keep-alive, a body that is allocated anew for each answer.
// Ends after the number of requests that its argument names.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

fn serve(stream: TcpStream, left: &AtomicUsize) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut length = 0;
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
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = line.split(' ').nth(1).unwrap_or("");
        let text = match path {
            "/child" => String::from_utf8_lossy(&Command::new("echo").arg("from a child").output()?.stdout).into_owned(),
            "/post" => format!("got {}", body.len()),
            "/big" => "b".repeat(200_000),
            _ => format!("path {}", path),
        };
        write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", text.len(), text)?;
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::exit(7);
        }
    }
}

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let left = Arc::new(AtomicUsize::new(count));
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    println!("listening on {}", listener.local_addr().expect("address"));
    for stream in listener.incoming() {
        let left = left.clone();
        std::thread::spawn(move || stream.and_then(|stream| serve(stream, &left)));
    }
}
