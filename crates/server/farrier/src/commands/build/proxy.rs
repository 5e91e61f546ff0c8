//! What the daemon keeps, shown to other clients on this machine: a cache that speaks the Remote Execution API, in front of
//! the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use action_cache::complete_only;
use anyhow::{Context, Result, ensure};
use blob::InstanceName;
use cas_remote::{RemoteChannel, RemoteOptions, RemoteTls};
use daemon::Kept;
use services::{Instance, Instances, StorageOptions, storage_routes};
use tasks::Group;
use tokio::net::TcpListener;

/// How long connections may take to end, and then what is still under way.
const GOODBYE: Duration = Duration::from_secs(1);

/// The server behind it.
pub(super) struct Behind {
    pub(super) endpoint: String,
    pub(super) tls: Option<RemoteTls>,
    pub(super) instance: InstanceName,
}

/// Serves on `address` until the tasks end. Everything that is read is looked for on this machine first; everything that is
/// written goes to the server too, whose acknowledgement counts. There is no execution.
pub(super) async fn serve(address: SocketAddr, kept: Kept, behind: Behind, tasks: &Group) -> Result<()> {
    // Nobody is asked who he is.
    ensure!(
        address.ip().is_loopback(),
        "--listen {address}: only this machine may come; name an address of it such as 127.0.0.1:8981"
    );
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("--listen {address}"))?;
    let mut options = RemoteOptions::new(&behind.endpoint);
    options.tls = behind.tls;
    let remote = RemoteChannel::connect(options)
        .await
        .with_context(|| format!("cannot use {} as the server behind {address}", behind.endpoint))?;
    let blob_size_bytes_max = kept.blobs.size_bytes_max();
    let blobs = cas::read_through(kept.blobs, remote.blob_store(behind.instance.clone()));
    let blobs = cas::always_has_empty(blobs);
    let results = action_cache::read_through(kept.results, remote.action_cache(behind.instance.clone()));
    let instance = Instance {
        cas: blobs.clone(),
        recipes: None,
        action_cache: complete_only(results, blobs),
        actions_are_elsewhere: false,
        clients_may_update_action_cache: true,
    };
    let instances: Instances = [(behind.instance, instance)].into_iter().collect();
    let group = Group::new("cache for others");
    let options = StorageOptions {
        blob_size_bytes_max,
        ..StorageOptions::default()
    };
    let routes = storage_routes(Arc::new(instances), &group, options);
    let stopping = tasks.stopping();
    tasks.spawn("cache for others", async move {
        let served = services::tuned(tonic::transport::Server::builder())
            .add_routes(routes)
            .serve_with_incoming_shutdown(services::incoming(listener), stopping.clone().cancelled_owned());
        let given_up = async {
            stopping.cancelled().await;
            tokio::time::sleep(GOODBYE).await;
        };
        tokio::select! {
            served = served => if let Err(error) = served {
                tracing::error!(%error, %address, "the cache is not served to others any more");
            },
            // Clients keep connections that they do not use.
            () = given_up => {}
        }
        group.shut_down(GOODBYE).await;
    });
    Ok(())
}
