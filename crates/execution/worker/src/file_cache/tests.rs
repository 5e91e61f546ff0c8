use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use blob::{BlobStream, ByteRange, DigestFunction};
use tempfile::TempDir;

use super::*;

const F: DigestFunction = DigestFunction::Sha256;

struct Fixture {
    directory: TempDir,
    store: Arc<dyn BlobStore>,
    cache: Arc<FileCache>,
}

fn open_cache(directory: &TempDir, bytes_max: u64) -> Arc<FileCache> {
    Arc::new(FileCache::open(&directory.path().join("cache"), bytes_max, Fetcher::new()).unwrap())
}

fn fixture(bytes_max: u64) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let cache = open_cache(&directory, bytes_max);
    Fixture {
        directory,
        store: cas::memory(1 << 26),
        cache,
    }
}

impl Fixture {
    async fn put(&self, bytes: impl Into<Bytes>) -> FileId {
        let blob = Blob::from_bytes(F, bytes.into());
        let digest = blob.digest();
        self.store.put(blob).await.unwrap();
        FileId {
            digest,
            is_executable: false,
        }
    }

    fn place(&self) -> (PathBuf, OwnedFd) {
        let path = self.directory.path().join("place");
        std::fs::create_dir_all(&path).unwrap();
        let opened = sys::open(&path, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        (path, opened)
    }

    /// What the cache's directory holds, whatever the cache thinks.
    fn files_on_disk(&self) -> usize {
        let cache = std::fs::read_dir(self.directory.path().join("cache")).unwrap();
        let shelves = cache
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir());
        shelves.map(|path| std::fs::read_dir(path).unwrap().count()).sum()
    }
}

use bytes::Bytes;

#[tokio::test]
async fn files_arrive_read_only_with_one_mode_and_one_time() {
    let fixture = fixture(1 << 20);
    let plain = fixture.put("plain").await;
    let script = FileId {
        is_executable: true,
        ..plain
    };
    let large = fixture.put(vec![7; SMALL_BLOB_BYTES_MAX as usize * 3]).await;
    let empty = FileId {
        digest: Digest::empty(F),
        is_executable: false,
    };
    let held = fixture
        .cache
        .hold(&*fixture.store, &[plain, script, large, empty])
        .await
        .unwrap();
    assert_eq!(held.files.len(), 4);
    let (path, place) = fixture.place();
    for (name, file, mode) in [
        ("plain", plain, 0o444),
        ("script", script, 0o555),
        ("large", large, 0o444),
        ("empty", empty, 0o444),
    ] {
        assert!(fixture.cache.link(&file, &place, name.as_bytes()).unwrap());
        let metadata = std::fs::metadata(path.join(name)).unwrap();
        assert_eq!(metadata.mode() & 0o7777, mode);
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (INPUT_MTIME_S, 0));
        assert_eq!(
            Digest::of(F, &std::fs::read(path.join(name)).unwrap()),
            file.digest
        );
    }
}

#[tokio::test]
async fn everything_missing_is_told_at_once_and_nothing_stays_held() {
    let fixture = fixture(1 << 20);
    let present = fixture.put("present").await;
    let absent = |text: &str| FileId {
        digest: Digest::of(F, text.as_bytes()),
        is_executable: false,
    };
    let wanted = [
        present,
        absent("one"),
        absent("two"),
        absent(&"three".repeat(1 << 16)),
    ];
    let Err(FileCacheError::Missing(missing)) = fixture.cache.hold(&*fixture.store, &wanted).await else {
        panic!("missing files were held")
    };
    assert_eq!(missing, wanted[1..].iter().map(|file| file.digest).collect());
    assert!(fixture.cache.state.lock().held.is_empty());
    assert!(fixture.cache.state.lock().in_flight.is_empty());
    assert_eq!(fixture.cache.absent(&wanted), missing);
}

#[tokio::test]
async fn the_least_recently_used_makes_room_but_not_what_is_held() {
    let fixture = fixture(1000);
    let mut files = Vec::new();
    for number in 0..3u8 {
        files.push(fixture.put(vec![number; 400]).await);
    }
    let held = fixture.cache.hold(&*fixture.store, &files[..1]).await.unwrap();
    drop(fixture.cache.hold(&*fixture.store, &files[1..2]).await.unwrap());
    drop(fixture.cache.hold(&*fixture.store, &files[2..3]).await.unwrap());
    assert_eq!(fixture.cache.absent(&files), DigestSet::from(files[1].digest));
    assert_eq!(fixture.files_on_disk(), 2);
    drop(held);
    let too_large = fixture.put(vec![9; 1001]).await;
    let refused = fixture.cache.hold(&*fixture.store, &[too_large]).await;
    assert!(matches!(
        refused,
        Err(FileCacheError::TooLarge {
            size_bytes: 1001,
            bytes_max: 1000
        })
    ));
}

#[tokio::test]
async fn a_restart_finds_what_was_cached_and_clears_what_was_not_finished() {
    let fixture = fixture(1 << 20);
    let files = [
        fixture.put("one").await,
        FileId {
            is_executable: true,
            ..fixture.put("two").await
        },
    ];
    drop(fixture.cache.hold(&*fixture.store, &files).await.unwrap());
    let cache = fixture.directory.path().join("cache");
    std::fs::write(cache.join("incoming/99"), "half").unwrap();
    std::fs::write(cache.join("ab/garbage"), "?").unwrap();
    let reopened = open_cache(&fixture.directory, 1 << 20);
    assert!(reopened.absent(&files).is_empty());
    assert!(!cache.join("incoming/99").exists() && !cache.join("ab/garbage").exists());
    // The store is not asked again.
    assert!(reopened.hold(&*cas::memory(1), &files).await.is_ok());
    std::fs::write(cache.join(BOOT), "another boot").unwrap();
    assert_eq!(open_cache(&fixture.directory, 1 << 20).absent(&files).len(), 2);
}

/// As somebody would who has the right to; the mode is as before.
fn replace(path: &PathBuf, text: &str) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o444)).unwrap();
}

#[tokio::test]
async fn a_changed_file_is_noticed_and_fetched_again() {
    let fixture = fixture(1 << 20);
    let file = fixture.put("original").await;
    let (path, place) = fixture.place();
    let on_disk = fixture.directory.path().join("cache").join(name_of(&file));
    type Damage = fn(&PathBuf);
    let damages: [(&str, Damage); 4] = [
        ("same size", |path| replace(path, "0riginal")),
        ("longer", |path| replace(path, "original and more")),
        ("mode", |path| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap()
        }),
        ("gone", |path| std::fs::remove_file(path).unwrap()),
    ];
    for (what, damage) in damages {
        let held = fixture.cache.hold(&*fixture.store, &[file]).await.unwrap();
        damage(&on_disk);
        assert!(!fixture.cache.link(&file, &place, b"linked").unwrap(), "{what}");
        assert!(!path.join("linked").exists(), "{what}");
        drop(held);
        let held = fixture.cache.hold(&*fixture.store, &[file]).await.unwrap();
        damage(&on_disk);
        assert!(fixture.cache.read(&file).unwrap().is_none(), "{what}");
        drop(held);
        let _held = fixture.cache.hold(&*fixture.store, &[file]).await.unwrap();
        assert!(fixture.cache.link(&file, &place, b"linked").unwrap(), "{what}");
        assert_eq!(std::fs::read(path.join("linked")).unwrap(), b"original");
        std::fs::remove_file(path.join("linked")).unwrap();
    }
    let state = fixture.cache.state.lock();
    assert_eq!(
        (state.held.len(), state.held_bytes, state.idle.weight()),
        (0, 0, 8)
    );
}

/// Counts reads; the first of each blob waits to be let through.
struct Slow {
    inner: Arc<dyn BlobStore>,
    gets: AtomicUsize,
    gate: tokio::sync::Semaphore,
}

#[async_trait]
impl BlobStore for Slow {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        let _through = self.gate.acquire().await.unwrap();
        self.inner.get(digest, range).await
    }

    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.inner.put(blob).await
    }

    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.inner.find_missing(digests).await
    }
}

#[tokio::test]
async fn one_file_wanted_by_many_is_fetched_once_and_a_fetch_given_up_is_taken_over() {
    let fixture = fixture(1 << 20);
    let file = fixture.put("shared").await;
    let slow = Slow {
        inner: fixture.store.clone(),
        gets: AtomicUsize::new(0),
        gate: tokio::sync::Semaphore::new(0),
    };
    let hold = || fixture.cache.hold(&slow, std::slice::from_ref(&file));
    // The first begins the fetch, then is cancelled while others wait for it.
    let mut first = Box::pin(hold());
    assert!(futures::poll!(&mut first).is_pending());
    let mut others: Vec<_> = (0..5).map(|_| Box::pin(hold())).collect();
    for other in &mut others {
        assert!(futures::poll!(other).is_pending());
    }
    assert_eq!(slow.gets.load(Ordering::SeqCst), 1);
    drop(first);
    slow.gate.add_permits(10);
    let held = futures::future::join_all(others).await;
    assert!(held.iter().all(|held| held.is_ok()));
    assert_eq!(slow.gets.load(Ordering::SeqCst), 2);
    assert_eq!(fixture.cache.state.lock().held[&file], 5);
    drop(held);
    assert!(fixture.cache.state.lock().held.is_empty());
}

#[tokio::test]
async fn wrong_bytes_never_get_a_name() {
    struct Lying(Arc<dyn BlobStore>);
    #[async_trait]
    impl BlobStore for Lying {
        async fn get(&self, digest: &Digest, _: ByteRange) -> Result<Option<BlobStream>, StoreError> {
            let wrong = Bytes::from(vec![b'x'; digest.size_bytes() as usize]);
            Ok(Some(stream::iter([Ok(wrong)]).boxed()))
        }
        async fn put(&self, blob: Blob) -> Result<(), StoreError> {
            self.0.put(blob).await
        }
        async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
            self.0.find_missing(digests).await
        }
    }
    let fixture = fixture(1 << 20);
    for size in [10, SMALL_BLOB_BYTES_MAX as usize + 1] {
        let file = fixture.put(vec![1; size]).await;
        let held = fixture.cache.hold(&Lying(fixture.store.clone()), &[file]).await;
        assert!(matches!(held, Err(FileCacheError::Store(StoreError::Blob(_)))));
    }
    assert_eq!(fixture.files_on_disk(), 0);
}

#[test]
fn names_round_trip() {
    for function in DigestFunction::ALL {
        for is_executable in [false, true] {
            let file = FileId {
                digest: Digest::of(function, b"x"),
                is_executable,
            };
            let name = name_of(&file);
            assert_eq!(parse_name(&name[3..]), Some(file));
        }
    }
    for garbage in ["", "-", "a-1-sha256", "x-x-x-x-x", ".."] {
        assert_eq!(parse_name(garbage), None);
    }
}
