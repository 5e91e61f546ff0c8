//! The scan service, called as reclient's reproxy calls it.

#![allow(clippy::unwrap_used, reason = "tests: a failure is one")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper_util::rt::TokioIo;
use reclient::address::Address;
use reclient_api::scandeps::CppProcessInputsRequest;
use reclient_api::scandeps::cpp_deps_scanner_client::CppDepsScannerClient;
use reproxy::scandeps::{Found, Scan, Scanner, routes};
use reproxy::serving::serve;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tonic::transport::{Channel, Endpoint, Uri};

/// Finds the source itself and one header; of `bad.c` nothing can be said.
struct One;

#[async_trait]
impl Scanner for One {
    async fn scan(&self, scan: Scan) -> Result<Found, String> {
        assert_eq!(scan.environment, [("A".into(), "b=c".into())]);
        match scan.file.to_str().unwrap() {
            "bad.c" => Err("unsure".to_owned()),
            _ => Ok(Found {
                files: vec![scan.directory.join(scan.file), "/usr/include/x.h".into()],
                was_known: true,
            }),
        }
    }
}

async fn connect(address: &Address) -> CppDepsScannerClient<Channel> {
    let path = address.socket_file().unwrap().to_owned();
    for _ in 0..1000 {
        let path = path.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        match Endpoint::from_static("http://scanner")
            .connect_with_connector(connector)
            .await
        {
            Ok(channel) => return CppDepsScannerClient::new(channel),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    panic!("nobody listens");
}

fn request(file: &str) -> CppProcessInputsRequest {
    CppProcessInputsRequest {
        command: vec!["clang".to_owned(), "-c".to_owned()],
        filename: file.to_owned(),
        directory: "/src".to_owned(),
        cmd_env: vec!["A=b=c".to_owned()],
        exec_id: "id".to_owned(),
    }
}

#[tokio::test]
async fn files_are_found_and_errors_are_answers() {
    let directory = tempfile::tempdir().unwrap();
    let address = Address::Unix(directory.path().join("scan.sock"));
    let stop = Arc::new(Notify::new());
    let stopping = stop.clone();
    let serving = serve(
        &address,
        routes(Arc::new(One), 2, stop),
        Box::pin(async move { stopping.notified().await }),
    );
    let testing = async {
        let mut client = connect(&address).await;
        let found = client.process_inputs(request("a.c")).await.unwrap().into_inner();
        assert_eq!(found.dependencies, ["/src/a.c", "/usr/include/x.h"]);
        assert!(found.used_cache && found.error.is_empty());
        let found = client
            .process_inputs(request("bad.c"))
            .await
            .unwrap()
            .into_inner();
        assert_eq!((found.error.as_str(), found.dependencies.len()), ("unsure", 0));
        let wrong = client
            .process_inputs(CppProcessInputsRequest::default())
            .await
            .unwrap_err();
        assert_eq!(wrong.code(), tonic::Code::InvalidArgument);

        let status = client.status(()).await.unwrap().into_inner();
        assert_eq!((status.completed_actions, status.running_actions), (2, 0));
        assert!(client.capabilities(()).await.unwrap().into_inner().caching);
        let last = client.shutdown(()).await.unwrap().into_inner();
        assert_eq!(last.completed_actions, 2);
    };
    let (served, ()) = tokio::join!(serving, testing);
    served.unwrap();
}
