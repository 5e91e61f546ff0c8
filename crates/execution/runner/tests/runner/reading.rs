//! Files of the host that every user of it may read, but no command.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use runner_api::{Root, RunRequest};

use crate::host::{Host, modes, request, shell};
use crate::roots::system;

/// Tries every way that a process has to a file, and says which one led there.
fn by_every_way(canary: &str) -> String {
    format!(
        "for way in {canary} ../../../../../../..{canary} /proc/self/root{canary} /proc/self/cwd/..{canary} \
           /proc/self/cwd/../..{canary} /proc/1/root{canary} /proc/1/cwd/../..{canary} /proc/self/task/1/root{canary} \
           /proc/self/fd/0/..{canary} /proc/self/fd/1/../..{canary} /proc/self/fd/2/../..{canary} \
           /proc/self/fd/3/../..{canary} /proc/self/fd/4/../..{canary} /proc/self/fd/5/../..{canary} \
           /dev/fd/0/..{canary} /dev/fd/3/..{canary} /proc/$$/root/..{canary}; do \
           cat $way 2>/dev/null && echo \" by $way\"; \
         done; \
         ln -s {canary} link; cat link 2>/dev/null && echo ' by a link'; \
         cd /proc/self/root/.. 2>/dev/null && cat .{canary} 2>/dev/null && echo ' by the root of the root'; true"
    )
}

#[tokio::test]
async fn a_secret_of_the_host_is_read_by_no_way() {
    let scratch = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let canary = scratch.path().join("canary");
    fs::write(&canary, "found").unwrap();
    fs::set_permissions(&canary, fs::Permissions::from_mode(0o644)).unwrap();
    let script = by_every_way(canary.to_str().unwrap());
    for mode in modes() {
        let host = Host::start(*mode).await;
        assert_eq!(host.shell(&script).await.ok(), "", "{mode:?}");
        let build = system(&host, &["sh", "cat", "ln"]).await;
        let own_root = RunRequest {
            root: Root::InputRoot,
            ..request(&build, &["sh", "-c", &script])
        };
        assert_eq!(host.run(&build, own_root).await.ok(), "", "{mode:?}");

        // The canary sings where nothing is confined.
        let open = Host::start_with(*mode, &["--sandbox", "off"]).await;
        let build = open.build().await;
        let said = open.run(&build, shell(&build, &script)).await.ok();
        assert!(said.contains(&format!("found by {}", canary.display())), "{said}");
        assert!(said.contains("found by /proc/self/root/"), "{said}");
        assert!(said.contains("found by a link"), "{said}");
    }
}
