//! Commands beside and after each other.

use std::fs;
use std::time::Duration;

use crate::host::{Host, eventually, mark, modes, shell};

/// Leaves something in every place where it might be found, and says when it has.
const LEAVE: &str = "\
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
memory = libc.shmget(4711, 64, 0o1666)
queue = libc.msgget(4711, 0o1666)
semaphore = libc.semget(4711, 1, 0o1666)
rt = libc.mq_open(b'/farrier', os.O_CREAT | os.O_RDWR, 0o666, None)
assert -1 not in (memory, queue, semaphore), (memory, queue, semaphore)
print('queue', 'made' if rt >= 0 else ctypes.get_errno())
for place in ['/tmp', '/dev/shm', '/var/tmp']:
    open(place + '/left', 'w').write('secret')
open('ready', 'w')
while not os.path.exists('done'):
    time.sleep(0.01)
";

#[tokio::test]
async fn two_commands_do_not_meet() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let mark = mark(1);
        let (one, two) = (host.build().await, host.build().await);
        let first = host.run(
            &one,
            shell(
                &one,
                &format!("python3 -c '{}'; : {mark}", LEAVE.replace('\'', "\"")),
            ),
        );
        let second = async {
            eventually("the first has left what it has", || {
                one.root.join("ready").exists()
            })
            .await;
            let script = format!(
                "ipcs -m -q -s | grep -c ^0x; ls -A /tmp /dev/shm /var/tmp/ | grep left; \
                 grep -alF {mark}x /proc/[0-9]*/cmdline | wc -l; \
                 python3 -c 'import ctypes; print(ctypes.CDLL(None).mq_open(b\"/farrier\", 0))'"
            )
            // What looks is found, and its shell is not.
            .replace(&format!("{mark}x"), &format!("{}\"\"{}", &mark[..6], &mark[6..]));
            let second = host.run(&two, shell(&two, &script)).await;
            fs::write(one.root.join("done"), "").unwrap();
            second
        };
        let (first, second) = tokio::join!(first, second);
        // Landlock lets nobody write to the file system of POSIX queues, so that there are none at all.
        assert_eq!(first.ok(), "queue 13\n");
        assert_eq!(second.ok(), "0\n1\n-1\n", "{mode:?}");
    }
}

#[tokio::test]
async fn a_command_that_kills_all_it_can_kills_itself_alone() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let (one, two) = (host.build().await, host.build().await);
        let neighbour = host.run(
            &one,
            shell(
                &one,
                "touch up; while [ ! -e go ]; do sleep 0.01; done; echo lives",
            ),
        );
        let killer = async {
            eventually("the neighbour is up", || one.root.join("up").exists()).await;
            // Not tried with the sandbox off: there it would end these tests, whose user it has.
            let script = "trap '' TERM; for s in TERM INT QUIT HUP STOP USR1 KILL; do kill -$s 1; done 2>/dev/null; \
                          for p in $(seq 2 2000); do [ $p = $$ ] || kill -9 $p; done 2>/dev/null; \
                          kill -0 1 2>/dev/null || echo init cannot be reached; \
                          sleep 100 & kill -9 -1; echo and so am I";
            let killer = host.run(&two, shell(&two, script)).await;
            fs::write(one.root.join("go"), "").unwrap();
            killer
        };
        let (neighbour, killer) = tokio::join!(neighbour, killer);
        // To all but init and oneself, says kill(2).
        assert!(killer.stdout.ends_with("and so am I\n"), "{}", killer.stdout);
        killer.ok();
        assert_eq!(neighbour.ok(), "lives\n", "{mode:?}");
        assert_eq!(host.shell("echo on").await.ok(), "on\n");
    }
}

/// Listens by four names in processes that stay.
const LISTEN: &str = r#"
import os, socket, time
for number, address in [(1, "127.0.0.1"), (2, "0.0.0.0")]:
    listener = socket.socket()
    listener.bind((address, 4710 + number))
    listener.listen()
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(chr(0) + f"left{number}")
    abstract.listen()
    if os.fork() == 0:
        os.setsid()
        os.close(1)
        os.close(2)
        time.sleep(3600)
"#;

/// Three times the same, in worlds that were ready: a port, processes, files, and an environment, none of which is there.
#[tokio::test]
async fn one_command_after_another_finds_nothing() {
    let script = format!(
        "[ -z \"$LEFT\" ] || echo env; export LEFT=1; \
         for d in /tmp /dev/shm .; do ls -A $d; echo x > $d/left; done; \
         set -- /proc/[0-9]*; echo $#; python3 -c '{LISTEN}'"
    );
    for mode in modes() {
        let host = Host::start(*mode).await;
        for _ in 0..3 {
            host.spares(1..=8).await;
            // Pid 1 and the shell, which counts by itself: what a pipeline sees of itself depends on who is first.
            assert_eq!(host.shell(&script).await.ok(), "2\n", "{mode:?}");
        }
    }
}

#[tokio::test]
async fn two_commands_at_once_share_nothing_writable() {
    // Every directory that can be written to gets a file with the command's name; then the other's are looked for.
    let script = "me=$1; other=$2; \
                  find / -xdev -path /proc -prune -o -type d -writable -print 2>/dev/null > places; \
                  echo /tmp >> places; echo /dev/shm >> places; echo /build >> places; sort -u -o places places; \
                  while read d; do echo mine > \"$d/$me\" || echo \"lost $d\"; done < places; \
                  touch ready; while [ ! -e go ]; do sleep 0.01; done; \
                  while read d; do [ ! -e \"$d/$other\" ] || echo \"met in $d\"; done < places; sort places";
    for mode in modes() {
        let host = Host::start(*mode).await;
        let builds = [host.build().await, host.build().await];
        let run = |index: usize| {
            let build = &builds[index];
            let names = ["one", "two"];
            let words = ["sh", "-c", script, "sh", names[index], names[1 - index]];
            host.run(build, crate::host::request(build, &words))
        };
        let both_wrote = async {
            eventually("both have written", || {
                builds.iter().all(|build| build.root.join("ready").exists())
            })
            .await;
            for build in &builds {
                fs::write(build.root.join("go"), "").unwrap();
            }
        };
        let (one, two, ()) = tokio::join!(run(0), run(1), both_wrote);
        for ran in [one, two] {
            assert_eq!(ran.ok(), "/build\n/dev/shm\n/tmp\n", "{mode:?}");
        }
    }
}

/// A writer that does not want to stop: a process of its own session with the file open, and another that replaces one.
#[tokio::test]
async fn nothing_changes_when_the_answer_has_come() {
    let script = "(setsid sh -c 'exec 3>>a; while :; do echo x >&3; done' &); \
                  (setsid sh -c 'trap \"\" TERM; while :; do echo y > b; mv b c; done' &); \
                  while [ ! -s a ] || [ ! -e c ]; do sleep 0.01; done";
    for mode in modes() {
        for sandbox in ["require", "off"] {
            let host = Host::start_with(*mode, &["--sandbox", sandbox]).await;
            let build = host.build().await;
            host.run(&build, shell(&build, script)).await.ok();
            let state = || {
                ["a", "b", "c"].map(|name| {
                    let path = build.root.join(name);
                    let modified = fs::metadata(&path).and_then(|file| file.modified()).ok();
                    (modified, fs::read(&path).ok())
                })
            };
            let at_once = state();
            assert!(at_once[0].1.as_ref().is_some_and(|bytes| !bytes.is_empty()));
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(
                state() == at_once,
                "{mode:?} {sandbox}: it was written to after the answer"
            );
        }
    }
}
