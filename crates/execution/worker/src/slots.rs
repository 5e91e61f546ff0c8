//! The places that actions run in, and those of them that are out of service.
//!
//! An action whose processes were killed and do not die has left a slot that is not free, whatever became of the action:
//! the memory is used, perhaps a device. It is announced as one slot less, and comes back when they are dead.

use std::sync::Arc;

use tasks::Group;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// All of a worker's.
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    out_of_service: watch::Sender<u32>,
    /// Waits for those that are to come back.
    group: Group,
}

/// One of them, for one action. It is free again when this is dropped.
pub(crate) struct Slot {
    permit: OwnedSemaphorePermit,
    out_of_service: watch::Sender<u32>,
    group: Group,
}

impl Slots {
    pub(crate) fn new(count: u32, group: Group) -> Self {
        Slots {
            free: Arc::new(Semaphore::new(count as usize)),
            out_of_service: watch::Sender::new(0),
            group,
        }
    }

    /// How many can be taken, and changes of that.
    pub(crate) fn out_of_service(&self) -> watch::Receiver<u32> {
        self.out_of_service.subscribe()
    }

    /// Waits for one.
    pub(crate) fn take(&self) -> impl Future<Output = Slot> + use<> {
        let free = self.free.clone();
        let (out_of_service, group) = (self.out_of_service.clone(), self.group.clone());
        async move {
            let permit = free.acquire_owned().await.expect("the semaphore is never closed");
            Slot {
                permit,
                out_of_service,
                group,
            }
        }
    }
}

impl Slot {
    /// Nobody gets it before `gone` has ended; that may be never.
    pub(crate) fn take_out_of_service(self, gone: impl Future<Output = ()> + Send + 'static) {
        let Slot {
            permit,
            out_of_service,
            group,
        } = self;
        out_of_service.send_modify(|count| *count += 1);
        let stopping = group.stopping();
        group.spawn("slot out of service", async move {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = gone => {}
            }
            tracing::info!("what did not die is dead; its slot is in service again");
            drop(permit);
            out_of_service.send_modify(|count| *count -= 1);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const A_MOMENT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_slot_out_of_service_is_nobodys_until_what_is_in_it_is_dead() {
        let group = Group::new("test");
        let slots = Slots::new(2, group.clone());
        let mut out_of_service = slots.out_of_service();
        let (die, dead) = oneshot::channel::<()>();
        let (first, second) = (slots.take().await, slots.take().await);
        first.take_out_of_service(async move { dead.await.unwrap() });
        assert_eq!(*out_of_service.borrow_and_update(), 1);
        drop(second);
        let _second = slots.take().await;
        let mut third = std::pin::pin!(slots.take());
        assert!(timeout(A_MOMENT, &mut third).await.is_err(), "there is none");
        die.send(()).unwrap();
        timeout(SOON, third).await.unwrap();
        timeout(SOON, out_of_service.wait_for(|count| *count == 0))
            .await
            .unwrap()
            .unwrap();
        assert!(group.shut_down(SOON).await);
    }

    #[tokio::test]
    async fn a_worker_that_stops_waits_for_none() {
        let group = Group::new("test");
        let slots = Slots::new(1, group.clone());
        slots.take().await.take_out_of_service(std::future::pending());
        assert!(group.shut_down(SOON).await);
    }
}
