//! The server's memory: at rest, and while 100 clients stream.

use std::time::{Duration, Instant};

use anyhow::Result;
use blob::Digest;
use futures::StreamExt;

use crate::byte_stream::incompressible;
use crate::client::{Client, FUNCTION};
use crate::report::{head, row};
use crate::server::Server;

const CLIENTS: usize = 100;
const STREAMING: Duration = Duration::from_secs(10);
const STUCK: Duration = Duration::from_secs(5);

pub(crate) async fn run() -> Result<()> {
    let server = Server::start(&["--slots", "0", "--cas-size", "16GiB"])?;
    let client = Client::connect(&server.endpoint(), 1 << 20).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    head(&["when", "resident", "peak"]);
    show("at rest", &server)?;
    let data = incompressible(99);
    let digest = Digest::of(FUNCTION, &data);
    client.write(digest, data).await?;
    show("after one upload of 512 MiB", &server)?;

    let deadline = Instant::now() + STREAMING;
    let mut readers = Vec::new();
    for _ in 0..CLIENTS {
        let client = Client::connect(&server.endpoint(), 16 << 10).await?;
        readers.push(async move {
            let mut stream = client.start_read(digest).await?;
            while Instant::now() < deadline {
                if stream.next().await.transpose()?.is_none() {
                    stream = client.start_read(digest).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    let streaming = futures::future::try_join_all(readers);
    let halfway = async {
        tokio::time::sleep(STREAMING / 2).await;
        show(&format!("{CLIENTS} clients streaming, halfway"), &server)
    };
    futures::try_join!(streaming, halfway)?;
    show(&format!("{CLIENTS} clients streaming, at the end"), &server)?;

    let mut stuck = Vec::new();
    for _ in 0..CLIENTS {
        let client = Client::connect(&server.endpoint(), 16 << 10).await?;
        stuck.push(client.start_read(digest).await?);
    }
    tokio::time::sleep(STUCK).await;
    show(&format!("{CLIENTS} clients that stopped reading"), &server)?;
    drop(stuck);
    tokio::time::sleep(Duration::from_secs(2)).await;
    show("afterwards", &server)
}

fn show(when: &str, server: &Server) -> Result<()> {
    let (resident, peak) = server.memory()?;
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
    row(&[when.to_owned(), mebibytes(resident), mebibytes(peak)]);
    Ok(())
}
