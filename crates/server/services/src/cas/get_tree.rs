//! `GetTree`: every Directory below a root, streamed in pages.
//!
//! Breadth first, each distinct Directory once: a tree that names the same one by a million paths is sent as what it
//! is stored as. The order follows from the Directories alone, so a page token is the digest of the last Directory of
//! a page: a later call walks the same way and sends what comes after it (checklist S8, S9).

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use blob::{Digest, DigestFunction};
use bytes::Bytes;
use cas::BlobStore;
use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use reapi::execution::{Directory, GetTreeRequest, GetTreeResponse};
use tonic::{Code, Status};

use super::ContentAddressableStorage;
use crate::limits::{
    RESPONSE_BYTES_MAX, TREE_CONCURRENCY, TREE_DIRECTORIES_MAX, TREE_PAGE_BYTES_MAX,
    TREE_PAGE_DIRECTORIES_MAX,
};
use crate::{status, whole_blob};

/// Room in a message for the page token, tags and lengths.
const PAGE_OVERHEAD_BYTES: usize = 1024;
/// Tag and length of one Directory in a message.
const DIRECTORY_OVERHEAD_BYTES: usize = 8;

pub(super) async fn get_tree(
    service: &ContentAddressableStorage,
    request: GetTreeRequest,
) -> Result<BoxStream<'static, Result<GetTreeResponse, Status>>, Status> {
    let instance = service
        .instances
        .get(&status::instance_name(&request.instance_name)?)?;
    let function = DigestFunction::of_request(request.digest_function, request.root_digest.as_ref())
        .map_err(status::digest_error)?;
    let root = Digest::required(
        function,
        request.root_digest.as_ref(),
        "GetTreeRequest.root_digest",
    )
    .map_err(status::digest_error)?;
    let page_directories_max = match usize::try_from(request.page_size) {
        Ok(0) => TREE_PAGE_DIRECTORIES_MAX,
        Ok(size) => size.min(TREE_PAGE_DIRECTORIES_MAX),
        Err(_) => {
            return Err(status::invalid(format!(
                "GetTree: page_size {} is negative",
                request.page_size
            )));
        }
    };
    let after = parse_token(function, &request.page_token)?;
    let store = instance.cas.clone();
    let mut walk = Walk::new(store, root);
    let root_directory = walk.fetch(root).await?;
    // Only the root must be there; what is missing below it is left out.
    if root_directory.is_none() {
        return Err(status::status(
            Code::NotFound,
            format!("GetTree: the root Directory {root} is not here"),
        ));
    }
    walk.fetched.push_back((root, root_directory));
    if let Some(after) = after {
        walk.skip_to(after).await?;
    }
    let admission = service.admission.clone();
    let pages = stream::try_unfold(Some(walk), move |walk| {
        let admission = admission.clone();
        async move {
            let Some(mut walk) = walk else { return Ok(None) };
            // While it is put together; a client that does not read it holds nothing that others wait for.
            let _share = admission.admit(TREE_PAGE_BYTES_MAX as u64).await?;
            let page = walk.page(page_directories_max).await?;
            let rest = (!page.next_page_token.is_empty()).then_some(walk);
            Ok(Some((page, rest)))
        }
    });
    Ok(pages.boxed())
}

/// A walk over the tree: what has been met, and in which order it goes out.
struct Walk {
    store: Arc<dyn BlobStore>,
    function: DigestFunction,
    /// Every digest met so far, so that none is met twice.
    met: HashSet<Digest>,
    /// Met, not yet fetched.
    queue: VecDeque<Digest>,
    /// Fetched, not yet sent; `None` for a missing one.
    fetched: VecDeque<(Digest, Option<Bytes>)>,
}

impl Walk {
    fn new(store: Arc<dyn BlobStore>, root: Digest) -> Self {
        Walk {
            store,
            function: root.function(),
            met: HashSet::from([root]),
            queue: VecDeque::new(),
            fetched: VecDeque::new(),
        }
    }

    /// The next Directory, in order; the outer `None` is the end of the tree.
    async fn next(&mut self) -> Result<Option<(Digest, Option<Directory>)>, Status> {
        if self.fetched.is_empty() {
            let batch: Vec<Digest> = self
                .queue
                .drain(..self.queue.len().min(TREE_CONCURRENCY))
                .collect();
            let mut reads = stream::iter(batch)
                .map(|digest| {
                    let read = self.fetch(digest);
                    async move { read.await.map(|bytes| (digest, bytes)) }
                })
                .buffered(TREE_CONCURRENCY);
            let mut fetched = VecDeque::new();
            while let Some(read) = reads.next().await {
                fetched.push_back(read?);
            }
            drop(reads);
            self.fetched = fetched;
        }
        let Some((digest, bytes)) = self.fetched.pop_front() else {
            return Ok(None);
        };
        let Some(bytes) = bytes else {
            return Ok(Some((digest, None)));
        };
        let directory = Directory::decode(bytes).map_err(|error| {
            status::invalid(format!("GetTree: blob {digest} is not a Directory: {error}"))
        })?;
        self.meet_children(&digest, &directory)?;
        Ok(Some((digest, Some(directory))))
    }

    fn meet_children(&mut self, parent: &Digest, directory: &Directory) -> Result<(), Status> {
        for child in &directory.directories {
            let digest = Digest::required(self.function, child.digest.as_ref(), "DirectoryNode.digest")
                .map_err(|error| status::invalid(format!("GetTree: Directory {parent}: {error}")))?;
            if self.met.insert(digest) {
                self.queue.push_back(digest);
            }
        }
        if self.met.len() > TREE_DIRECTORIES_MAX {
            let message = format!("GetTree: the tree has more than {TREE_DIRECTORIES_MAX} Directories");
            return Err(status::invalid(message));
        }
        Ok(())
    }

    fn fetch(&self, digest: Digest) -> impl Future<Output = Result<Option<Bytes>, Status>> + Send + use<> {
        let store = self.store.clone();
        async move {
            check_sendable(&digest)?;
            whole_blob::read(&*store, &digest)
                .await
                .map_err(status::store_error)
        }
    }

    /// Passes everything up to and including `after`.
    async fn skip_to(&mut self, after: Digest) -> Result<(), Status> {
        while let Some((digest, _)) = self.next().await? {
            if digest == after {
                return Ok(());
            }
        }
        Err(status::invalid(format!(
            "GetTree: page_token `{after}` is not of this tree; ask again without a token"
        )))
    }

    /// The next page. Its token is empty exactly when the tree has been sent.
    async fn page(&mut self, directories_max: usize) -> Result<GetTreeResponse, Status> {
        let mut page = GetTreeResponse::default();
        let mut page_bytes = 0;
        let mut last = None;
        while page.directories.len() < directories_max && page_bytes < TREE_PAGE_BYTES_MAX {
            let Some((digest, directory)) = self.next().await? else {
                return Ok(page);
            };
            last = Some(digest);
            let Some(directory) = directory else { continue };
            page_bytes += directory.encoded_len() + DIRECTORY_OVERHEAD_BYTES;
            page.directories.push(directory);
        }
        // A token only where something follows: a page may end exactly at the end of the tree.
        if !(self.queue.is_empty() && self.fetched.is_empty()) {
            page.next_page_token = last.map(|digest| digest.to_string()).unwrap_or_default();
        }
        Ok(page)
    }
}

/// A page is below [`TREE_PAGE_BYTES_MAX`] before its last Directory, which may use what is left of the message.
fn check_sendable(digest: &Digest) -> Result<(), Status> {
    let bytes_max = (RESPONSE_BYTES_MAX - TREE_PAGE_BYTES_MAX - PAGE_OVERHEAD_BYTES) as u64;
    if digest.size_bytes() <= bytes_max {
        return Ok(());
    }
    Err(status::status(
        Code::FailedPrecondition,
        format!(
            "GetTree: Directory {digest} is too large for a message ({bytes_max} bytes); read it by ByteStream"
        ),
    ))
}

/// The reverse of `Digest`'s text, with or without the function's name.
fn parse_token(function: DigestFunction, token: &str) -> Result<Option<Digest>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let malformed = || status::invalid(format!("GetTree: `{token}` is not a page_token of this server"));
    let prefix = format!("{}/", function.name());
    let (hash, size) = token
        .strip_prefix(&prefix)
        .unwrap_or(token)
        .split_once('/')
        .ok_or_else(malformed)?;
    let size_bytes = size.parse().map_err(|_| malformed())?;
    Digest::from_hex(function, hash, size_bytes)
        .map(Some)
        .map_err(|_| malformed())
}
