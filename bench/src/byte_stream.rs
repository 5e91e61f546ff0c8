//! One blob of 512 MiB up and down, beside what hashing and copying it cost at least.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use blob::Digest;
use bytes::Bytes;

use crate::client::{Client, FUNCTION};
use crate::report::{head, median, rate, row};
use crate::server::Server;

pub(crate) const SIZE_BYTES: usize = 512 << 20;
const ROUNDS: usize = 3;

pub(crate) async fn run() -> Result<()> {
    let server = Server::start(&["--slots", "0", "--cas-size", "16GiB"])?;
    let (mut hash, mut tcp, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let frames = [
        ("1 MiB frames", 1u32 << 20),
        ("16 KiB frames, as Bazel offers", 16 << 10),
    ];
    let mut written = vec![Vec::new(); frames.len()];
    let mut read = vec![Vec::new(); frames.len()];
    for round in 0..ROUNDS {
        for (index, (_, frame_bytes)) in frames.iter().enumerate() {
            let data = incompressible((round * frames.len() + index) as u64);
            let started = Instant::now();
            let digest = Digest::of(FUNCTION, &data);
            hash.push(rate(SIZE_BYTES as u64, started.elapsed()));
            tcp.push(rate(SIZE_BYTES as u64, loopback_copy(data.clone())?));

            let client = Client::connect(&server.endpoint(), *frame_bytes).await?;
            let cpu_before = server.cpu_seconds()?;
            let started = Instant::now();
            client.write(digest, data).await?;
            written[index].push(rate(SIZE_BYTES as u64, started.elapsed()));
            let started = Instant::now();
            let size_bytes = client.read(digest).await?;
            read[index].push(rate(SIZE_BYTES as u64, started.elapsed()));
            ensure!(size_bytes == SIZE_BYTES as u64, "read {size_bytes} bytes");
            cpu.push((server.cpu_seconds()? - cpu_before) / (2.0 * SIZE_BYTES as f64 / 1e9));
        }
    }
    let (hash, tcp) = (median(hash), median(tcp));
    head(&["figure", "MB/s", "of SHA-256", "of a TCP copy"]);
    let line = |name: &str, value: f64| {
        row(&[
            name.to_owned(),
            format!("{value:.0}"),
            format!("{:.2}", value / hash),
            format!("{:.2}", value / tcp),
        ]);
    };
    line("SHA-256, one core", hash);
    line("loopback TCP copy", tcp);
    for (index, (name, _)) in frames.iter().enumerate() {
        line(&format!("write, {name}"), median(written[index].clone()));
        line(&format!("read, {name}"), median(read[index].clone()));
    }
    println!(
        "\nServer CPU, write and read together: {:.2} s per GB.",
        median(cpu)
    );
    Ok(())
}

/// Bytes that no compressor makes smaller, different for each seed.
pub(crate) fn incompressible(seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut data = Vec::with_capacity(SIZE_BYTES);
    while data.len() < SIZE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.into()
}

fn loopback_copy(data: Bytes) -> Result<Duration> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let started = Instant::now();
    let reader = std::thread::spawn(move || -> std::io::Result<usize> {
        let (mut socket, _) = listener.accept()?;
        let mut buffer = vec![0; 1 << 20];
        let mut total = 0;
        loop {
            match socket.read(&mut buffer)? {
                0 => return Ok(total),
                count => total += count,
            }
        }
    });
    let mut socket = TcpStream::connect(address)?;
    for chunk in data.chunks(1 << 20) {
        socket.write_all(chunk)?;
    }
    drop(socket);
    let total = reader.join().ok().context("the reading thread panicked")??;
    ensure!(total == data.len(), "the copy lost bytes");
    Ok(started.elapsed())
}
