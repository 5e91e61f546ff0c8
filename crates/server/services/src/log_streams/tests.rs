use std::time::Duration;

use super::*;
use crate::limits::{
    FOLLOWED_OUTPUT_BYTES_MAX, FOLLOWED_OUTPUT_WAIT_MAX, LOG_STREAM_BYTES_MAX, LOG_STREAM_FINISHED_MAX,
    LOG_STREAM_IDLE_MAX, LOG_STREAMS_BYTES_MAX,
};

fn streams() -> LogStreams {
    LogStreams::start(&Group::new("test"))
}

fn create(streams: &LogStreams, keeps: Keeps) -> Arc<LogStream> {
    streams.create(&InstanceName::default(), keeps).unwrap()
}

fn name(stream: &LogStream) -> LogStreamName {
    LogStreamName::parse(&stream.read_name()).unwrap()
}

fn bytes(next: Option<Next>) -> usize {
    match next {
        Some(Next::Bytes(bytes)) => bytes.len(),
        _ => 0,
    }
}

const FOR_READERS: Keeps = Keeps::ForReaders { first: 0 };

#[tokio::test(start_paused = true)]
async fn a_writer_waits_for_the_slowest_reader_but_not_for_ever() {
    let streams = streams();
    let stream = create(&streams, FOR_READERS);
    let mut fast = LogReader::new(stream.clone(), 0);
    let mut slow = LogReader::new(stream.clone(), 0);
    let whole = vec![7; FOLLOWED_OUTPUT_BYTES_MAX];
    stream.append(0, &whole).await.unwrap();
    let mut read = 0;
    while read < whole.len() {
        read += bytes(fast.ready().unwrap());
    }
    let end = whole.len() as u64;
    // The slow one reads a little, which makes room for as much.
    let appending = stream.append(end, b"x");
    let reading = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bytes(slow.ready().unwrap())
    };
    let start = Instant::now();
    let (appended, taken) = tokio::join!(appending, reading);
    appended.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    // Now it takes nothing any more.
    stream.append(end + 1, &whole[..taken]).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(1) + FOLLOWED_OUTPUT_WAIT_MAX);
    // For what comes now nobody waits: the slow one is out.
    stream.append(end + 1 + taken as u64, b"y").await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(1) + FOLLOWED_OUTPUT_WAIT_MAX);
    assert_eq!(slow.ready().err().unwrap().code(), Code::OutOfRange);
    assert_eq!(
        bytes(fast.ready().unwrap()) + bytes(fast.ready().unwrap()),
        taken + 2
    );
    assert!(streams.shared.room.used() <= FOLLOWED_OUTPUT_BYTES_MAX);
    // Without readers nobody waits.
    drop((fast, slow));
    let now = Instant::now();
    stream.append(end + 2 + taken as u64, &whole).await.unwrap();
    assert_eq!(now.elapsed(), Duration::ZERO);
    streams.remove(&stream);
    drop(stream);
    assert_eq!(streams.shared.room.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn all_streams_together_have_a_bound_and_each_makes_room_of_its_own() {
    let streams = streams();
    let whole = vec![7; LOG_STREAM_BYTES_MAX];
    let mut full = Vec::new();
    for _ in 0..LOG_STREAMS_BYTES_MAX / LOG_STREAM_BYTES_MAX {
        let stream = create(&streams, Keeps::Newest);
        stream.append(0, &whole).await.unwrap();
        full.push(stream);
    }
    assert_eq!(streams.shared.room.used(), LOG_STREAMS_BYTES_MAX);
    let late = create(&streams, Keeps::Newest);
    assert_eq!(
        late.append(0, b"x").await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    full[0].append(whole.len() as u64, b"y").await.unwrap();
    // A finished one is a blob.
    full[0].finish(&*cas::memory(64 << 20)).await;
    late.append(0, b"x").await.unwrap();
    assert_eq!(
        streams.shared.room.used(),
        LOG_STREAMS_BYTES_MAX - LOG_STREAM_BYTES_MAX + 1
    );
    // Where it cannot be stored it stays in memory.
    full[1].finish(&*cas::memory(10)).await;
    assert!(bytes(LogReader::new(full[1].clone(), 0).ready().unwrap()) > 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_finished_or_left_alone_is_forgotten_in_time() {
    let streams = streams();
    let (idle, written, finished) = (
        create(&streams, Keeps::Newest),
        create(&streams, Keeps::Newest),
        create(&streams, Keeps::Newest),
    );
    let _writing = written.writing();
    finished.finish(&*cas::memory(100)).await;
    let mut waiting = LogReader::new(idle.clone(), 0);
    let is_known = |stream: &LogStream| streams.to_read(&name(stream)).is_ok();
    tokio::time::sleep(LOG_STREAM_FINISHED_MAX + LOG_STREAMS_SWEPT_EVERY).await;
    assert_eq!(
        [&idle, &written, &finished].map(|stream| is_known(stream)),
        [true, true, false]
    );
    tokio::time::sleep(LOG_STREAM_IDLE_MAX).await;
    assert_eq!([&idle, &written].map(|stream| is_known(stream)), [false, true]);
    assert_eq!(waiting.next().await.err().unwrap().code(), Code::Aborted);
    assert_eq!(idle.append(0, b"x").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn for_one_too_many_the_oldest_finished_one_goes() {
    let streams = streams();
    let all: Vec<_> = (0..LOG_STREAMS_MAX)
        .map(|_| create(&streams, Keeps::Newest))
        .collect();
    let refused = streams
        .create(&InstanceName::default(), Keeps::Newest)
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let store = cas::memory(100);
    for stream in [&all[5], &all[3]] {
        stream.finish(&*store).await;
    }
    create(&streams, Keeps::Newest);
    assert!(streams.to_read(&name(&all[5])).is_err() && streams.to_read(&name(&all[3])).is_ok());
}
