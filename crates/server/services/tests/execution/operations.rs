//! The Operations service (checklist E16).

use reapi::longrunning as lro;
use tonic::Code;

use crate::support::*;

#[tokio::test]
async fn e16_get_list_wait_and_delete() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 8).await;
    let mut names = Vec::new();
    let mut watches = Vec::new();
    for word in ["a", "b", "c"] {
        let mut watch = farm.execute(farm.echo(word).await).await.unwrap();
        names.push(watch.next().await.unwrap().name);
        watches.push(watch);
    }
    names.sort();
    let mut operations = farm.operations();

    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = lro::ListOperationsRequest {
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = operations.list_operations(request).await.unwrap().into_inner();
        assert!(page.operations.len() <= 2);
        listed.extend(page.operations.into_iter().map(|operation| operation.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, names);

    let name = names[0].clone();
    let get = lro::GetOperationRequest { name: name.clone() };
    assert!(
        !operations
            .get_operation(get.clone())
            .await
            .unwrap()
            .into_inner()
            .done
    );
    let delete = lro::DeleteOperationRequest { name: name.clone() };
    let early = operations.delete_operation(delete.clone()).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);

    let zero = Some(prost_types::Duration {
        seconds: 0,
        nanos: 50_000_000,
    });
    let wait = lro::WaitOperationRequest {
        name: name.clone(),
        timeout: zero,
    };
    assert!(!operations.wait_operation(wait).await.unwrap().into_inner().done);
    for lease in worker.until_leases(3).await {
        worker.complete(lease.lease_id, finished(0, "")).await;
    }
    let wait = lro::WaitOperationRequest {
        name: name.clone(),
        timeout: None,
    };
    assert!(operations.wait_operation(wait).await.unwrap().into_inner().done);
    operations.delete_operation(delete).await.unwrap();
    assert_eq!(
        operations.get_operation(get).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn e16_bad_requests_are_refused() {
    let farm = Farm::start().await;
    let mut operations = farm.operations();
    let name = "operations/unknown".to_owned();
    let cancel = lro::CancelOperationRequest { name: name.clone() };
    assert_eq!(
        operations.cancel_operation(cancel).await.unwrap_err().code(),
        Code::NotFound
    );
    let wait = lro::WaitOperationRequest { name, timeout: None };
    assert_eq!(
        operations.wait_operation(wait).await.unwrap_err().code(),
        Code::NotFound
    );
    let negative = lro::ListOperationsRequest {
        page_size: -1,
        ..Default::default()
    };
    assert_eq!(
        operations.list_operations(negative).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let filter = lro::ListOperationsRequest {
        filter: "done".into(),
        ..Default::default()
    };
    assert_eq!(
        operations.list_operations(filter).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}
