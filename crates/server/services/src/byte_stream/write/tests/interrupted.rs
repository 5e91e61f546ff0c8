//! Uploads that break off at any place, and go on.

use proptest::prelude::*;

use super::*;

/// How one attempt at an upload goes.
#[derive(Clone, Debug)]
struct Attempt {
    /// Where it starts, as a share of what is committed: 0 is from the beginning, 255 is where the last one stopped.
    from: u8,
    /// How much it sends, as a share of what is left, and in which pieces.
    sends: u8,
    piece_len: usize,
    zstd: bool,
    end: AttemptEnd,
}

#[derive(Clone, Copy, Debug)]
enum AttemptEnd {
    /// The client closes its side without `finish_write`.
    Closed,
    /// The connection breaks.
    Broken,
    /// The call hangs until the next one takes over or it is dropped.
    Hanging,
    Dropped,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let end = prop_oneof![
        Just(AttemptEnd::Closed),
        Just(AttemptEnd::Broken),
        Just(AttemptEnd::Hanging),
        Just(AttemptEnd::Dropped)
    ];
    let attempt = (any::<u8>(), any::<u8>(), 1usize..300, any::<bool>(), end).prop_map(
        |(from, sends, piece_len, zstd, end)| Attempt {
            from,
            sends,
            piece_len,
            zstd,
            end,
        },
    );
    prop::collection::vec(attempt, 0..6)
}

proptest! {
    /// However often and wherever an upload is interrupted and resumed, what is stored in the end is the blob.
    #[test]
    fn b6_b7_interruptions_never_change_what_is_stored(
        content in prop::collection::vec(any::<u8>(), 1..1000), attempts in attempts(), finish_zstd in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(interrupt(content.into(), attempts, finish_zstd));
    }
}

async fn interrupt(content: Bytes, attempts: Vec<Attempt>, finish_zstd: bool) {
    let fixture = Fixture::new();
    let digest = Digest::of(DigestFunction::Sha256, &content);
    let name = |zstd: bool| {
        let form = if zstd { "compressed-blobs/zstd" } else { "blobs" };
        format!("uploads/00000000-0000-4000-8000-000000000000/{form}/{digest}")
    };
    let encoded = |zstd: bool, range: Range<usize>| match zstd {
        true => compression::compress_all(content.slice(range)).unwrap(),
        false => content.slice(range),
    };
    let mut hanging = Vec::new();
    for attempt in attempts {
        let name = name(attempt.zstd);
        let committed = fixture.committed(&name).await.committed_size as usize;
        let from = if attempt.from == 255 {
            committed
        } else {
            committed * usize::from(attempt.from) / 255
        };
        let to = from + (content.len() - from) * usize::from(attempt.sends) / 255;
        let (sender, mut call) = fixture.open_call();
        let sent = encoded(attempt.zstd, from..to);
        let mut pieces: Vec<Bytes> = sent
            .chunks(attempt.piece_len)
            .map(Bytes::copy_from_slice)
            .collect();
        pieces.insert(0, Bytes::new());
        let mut offset = from;
        for piece in pieces {
            let next = offset + piece.len();
            let send = sender.send(Ok(message(&name, offset, piece, false)));
            tokio::select! {
                biased;
                sent = send => sent.unwrap(),
                ended = &mut call => panic!("{attempt:?} ended with {ended:?}"),
            }
            offset = next;
        }
        match attempt.end {
            AttemptEnd::Closed => {
                drop(sender);
                match call.await {
                    Ok(response) => assert!((response.committed_size as usize) < content.len()),
                    Err(status) => {
                        // All bytes are here, from this call or from those before.
                        let all = if from == 0 { to } else { to.max(committed) };
                        assert_eq!((all, status.code()), (content.len(), Code::InvalidArgument));
                    }
                }
            }
            AttemptEnd::Broken => {
                settle(&mut call).await;
                sender.send(Err(Status::cancelled("the cable"))).await.unwrap();
                assert_eq!(call.await.unwrap_err().code(), Code::Cancelled);
            }
            AttemptEnd::Dropped => {
                settle(&mut call).await;
                drop(call);
            }
            // A call that nobody drives cannot give its upload up, so a task drives it.
            AttemptEnd::Hanging => {
                settle(&mut call).await;
                let (done, ended) = tokio::sync::oneshot::channel();
                fixture.group.spawn("hanging call", async move {
                    let _sender_kept = sender;
                    let _ = done.send(call.await);
                });
                hanging.push(ended);
            }
        }
        assert!(!fixture.has(digest).await);
    }
    let name = name(finish_zstd);
    let committed = fixture.committed(&name).await.committed_size as usize;
    let rest = message(
        &name,
        committed,
        encoded(finish_zstd, committed..content.len()),
        true,
    );
    fixture.write(vec![rest]).await.unwrap();
    let stored = fixture
        .store
        .get(&digest, ByteRange::FULL)
        .await
        .unwrap()
        .unwrap();
    let stored: Vec<Bytes> = futures::TryStreamExt::try_collect(stored).await.unwrap();
    assert_eq!(stored.concat(), content);
    fixture.group.stop();
}
