//! What this worker says of its machine's tools, and that it stays true while an action relies on it.
//!
//! Packages are installed under a running worker. What is announced follows, and an action that names the tools it relies on
//! (`host_tools::PROPERTY`) is looked after before its command and after it: a result that may have been made with other
//! tools is not given to anybody.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use action::Platform;
use parking_lot::Mutex;
use reapi::rpc::Code;
use tasks::Group;
use tokio::sync::watch;

use crate::blocking::blocking;

/// What a worker is to say of its machine's tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostTools {
    /// Nothing: no action that relies on them comes here.
    #[default]
    Unsaid,
    /// What somebody who knows says of them.
    Named(String),
    /// What is found, now and again.
    Found {
        /// Below which the machine's files are.
        root: PathBuf,
    },
}

/// Value of the platform property, if there is one.
pub(crate) type Announced = Option<String>;

/// The tools of this machine, as far as they are looked at.
#[derive(Clone)]
pub(crate) struct Tools {
    found: Option<Arc<Found>>,
    announced: watch::Receiver<Announced>,
}

struct Found {
    tools: Mutex<host_tools::HostTools>,
    announced: watch::Sender<Announced>,
}

impl Tools {
    /// Looks for the first time; from then on every `interval`, in `group`. Blocks.
    pub(crate) fn open(option: HostTools, interval: Duration, group: &Group) -> Self {
        let root = match option {
            HostTools::Unsaid => return Tools::fixed(None),
            HostTools::Named(name) => return Tools::fixed(Some(name)),
            HostTools::Found { root } => root,
        };
        let (announced, receiver) = watch::channel(None);
        let found = Arc::new(Found {
            tools: Mutex::new(host_tools::HostTools::at(&root, std::env::consts::ARCH)),
            announced,
        });
        found.look();
        let (looking, stopping) = (found.clone(), group.stopping());
        group.spawn("host tools", async move {
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(interval) => {}
                }
                let looking = looking.clone();
                blocking(move || looking.look()).await;
            }
        });
        Tools {
            found: Some(found),
            announced: receiver,
        }
    }

    /// What is said once and for all.
    pub(crate) fn fixed(announced: Announced) -> Self {
        Tools {
            found: None,
            announced: watch::channel(announced).1,
        }
    }

    /// What to announce, as it changes.
    pub(crate) fn announced(&self) -> watch::Receiver<Announced> {
        self.announced.clone()
    }

    /// Whether the tools that an action relies on are those that are here, in this moment; what to answer if not.
    pub(crate) async fn check(&self, platform: &Platform) -> Result<(), (Code, String)> {
        let asked: Vec<String> = platform.values(host_tools::PROPERTY).map(str::to_owned).collect();
        let found = match &self.found {
            Some(found) if !asked.is_empty() => found.clone(),
            // What was said by name holds until somebody says something else.
            _ => return Ok(()),
        };
        let here = blocking(move || found.look()).await;
        match asked.iter().find(|asked| here.as_ref() != Some(asked)) {
            None => Ok(()),
            Some(asked) => {
                let here = here.as_deref().unwrap_or("none that can be relied on");
                let message = format!(
                    "this worker cannot run it: the packages of its machine have changed: the action relies on `{}` = `{asked}`, \
                     and here are {here}",
                    host_tools::PROPERTY
                );
                Err((Code::Unavailable, message))
            }
        }
    }
}

impl Found {
    /// What is here in this moment, for everybody to know.
    fn look(&self) -> Announced {
        let mut tools = self.tools.lock();
        let found = match tools.fingerprint() {
            Ok(found) => found.map(|fingerprint| fingerprint.to_string()),
            Err(error) => {
                tracing::warn!(%error, "which tools this machine has cannot be told");
                None
            }
        };
        // Still under the lock: what is announced last was seen last.
        self.announced.send_if_modified(|announced| {
            let differs = *announced != found;
            if differs {
                announced.clone_from(&found);
            }
            differs
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Not in this test.
    const RARELY: Duration = Duration::from_secs(3600);
    const PATIENCE: Duration = Duration::from_secs(10);

    const STATUS: &str =
        "Package: gcc-12\nStatus: install ok installed\nVersion: 12.2.0\nArchitecture: amd64\n";

    fn install(root: &Path, status: &str) {
        fs::create_dir_all(root.join("var/lib/dpkg")).unwrap();
        fs::write(root.join("var/lib/dpkg/status"), status).unwrap();
    }

    fn relying_on(values: &[&str]) -> Platform {
        let property = |value: &&str| (host_tools::PROPERTY.to_owned(), (*value).to_owned());
        Platform::new(values.iter().map(property)).unwrap()
    }

    #[tokio::test]
    async fn what_is_said_is_what_was_named() {
        let group = Group::new("test");
        let unsaid = Tools::open(HostTools::Unsaid, RARELY, &group);
        assert_eq!(*unsaid.announced().borrow(), None);
        let named = Tools::open(HostTools::Named("debian-12".to_owned()), RARELY, &group);
        assert_eq!(named.announced().borrow().as_deref(), Some("debian-12"));
        // Whether such an action comes is for the scheduler to see to.
        for tools in [unsaid, named] {
            assert_eq!(tools.check(&relying_on(&["debian-12"])).await, Ok(()));
        }
    }

    #[tokio::test]
    async fn what_is_found_follows_the_packages_and_is_checked() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().to_owned();
        let group = Group::new("test");
        let none = Tools::open(HostTools::Found { root: root.clone() }, RARELY, &group);
        assert_eq!(*none.announced().borrow(), None);
        install(&root, STATUS);
        let tools = Tools::open(HostTools::Found { root: root.clone() }, RARELY, &group);
        let mut announced = tools.announced();
        let first = announced.borrow_and_update().clone().unwrap();
        let relying = relying_on(&[&first]);
        assert_eq!(tools.check(&relying).await, Ok(()));
        assert_eq!(tools.check(&relying_on(&[])).await, Ok(()));
        let (code, message) = tools.check(&relying_on(&[&first, "other"])).await.unwrap_err();
        assert_eq!(code, Code::Unavailable);
        assert!(
            message.contains("`other`") && message.contains(&first),
            "{message}"
        );
        assert!(!announced.has_changed().unwrap());

        install(&root, &STATUS.replace("12.2.0", "12.3.0"));
        let (_, message) = tools.check(&relying).await.unwrap_err();
        let second = announced.borrow_and_update().clone().unwrap();
        assert!(second != first && message.contains(&second), "{message}");
        // Those who rely on nothing run meanwhile.
        assert_eq!(tools.check(&relying_on(&[])).await, Ok(()));
        fs::remove_dir_all(root.join("var")).unwrap();
        assert!(tools.check(&relying_on(&[&second])).await.is_err());
        assert_eq!(*announced.borrow_and_update(), None);
        group.shut_down(PATIENCE).await;
    }

    #[tokio::test]
    async fn it_is_looked_at_again_without_being_asked() {
        let scratch = tempfile::tempdir().unwrap();
        let group = Group::new("test");
        let option = HostTools::Found {
            root: scratch.path().to_owned(),
        };
        let tools = Tools::open(option, Duration::from_millis(1), &group);
        let mut announced = tools.announced();
        install(scratch.path(), STATUS);
        announced.changed().await.unwrap();
        assert!(announced.borrow().is_some());
        group.shut_down(PATIENCE).await;
    }
}
