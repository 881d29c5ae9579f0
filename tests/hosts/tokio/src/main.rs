// SPDX-License-Identifier: Apache-2.0
// tokio with two worker threads: keep-alive, a program run for /child. SIGTERM ends it with 0.
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::signal::unix::{signal, SignalKind};

async fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let path = line.split(' ').nth(1).unwrap_or("").to_string();
        let text = match path.as_str() {
            "/child" => String::from_utf8_lossy(&Command::new("echo").arg("from a child").output().await?.stdout).into_owned(),
            "/post" => format!("got {}", body.len()),
            "/big" => "b".repeat(200_000),
            _ => format!("path {}", path),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(text.as_bytes()).await?;
    }
}

async fn listen() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut end = signal(SignalKind::terminate())?;
    println!("listening on {}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    end.recv().await;
    Ok(())
}

// Without tokio's macros, which take as long to build as tokio.
fn main() -> std::io::Result<()> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(listen())
}
