//! Looking into other processes.
#![cfg(target_arch = "x86_64")]

use std::process::Stdio;

use runner_api::{Mechanism, Outcome, RunRequest, Runner, UnixRunner};
use tokio_util::sync::CancellationToken;

use crate::fallback::{build_in, without};
use crate::host::{Host, eventually, mark, modes, processes_marked, request, shell};

/// Tries each call on the processes named, and says what it answered; then that a process may be traced that one has
/// started.
const LOOK: &str = "
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def call(*words):
    ctypes.set_errno(0)
    answer = libc.syscall(*[ctypes.c_long(word) if isinstance(word, int) else word for word in words])
    return errno.errorcode.get(ctypes.get_errno(), 'works') if answer < 0 else 'works'

class Piece(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]

room = ctypes.create_string_buffer(8)
piece = ctypes.byref(Piece(ctypes.addressof(room), 8))
for pid in map(int, sys.argv[1:]):
    print('attach', call(101, 16, pid, 0, 0))
    print('seize', call(101, 0x4206, pid, 0, 0))
    print('read', call(310, pid, piece, 1, piece, 1, 0))
    print('write', call(311, pid, piece, 1, piece, 1, 0))
    print('compare', call(312, pid, os.getpid(), 0, 0, 0))
    pidfd = libc.syscall(434, pid, 0)
    print('take', call(438, pidfd, 0, 0))
    for name in ['mem', 'maps', 'auxv', 'syscall', 'stack', 'environ']:
        try:
            if open(f'/proc/{pid}/{name}', 'rb').read(1):
                print('read', name)
        except OSError:
            pass
    for name in ['exe', 'cwd', 'root', 'ns/mnt', 'fd/0']:
        try:
            print(name, 'is', os.readlink(f'/proc/{pid}/{name}'))
        except OSError:
            pass
child = os.fork()
if child == 0:
    os._exit(0 if call(101, 0, 0, 0, 0) == 'works' else 1)
print('own child', 'works' if os.waitpid(child, 0)[1] == 0 else 'refused')
";

const REFUSED: &str = "attach EPERM\nseize EPERM\nread EPERM\nwrite EPERM\ncompare EPERM\ntake EPERM\n";

#[tokio::test]
async fn no_process_is_looked_into_but_ones_own() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let said = host
            .run(&build, request(&build, &["python3", "-c", LOOK, "1"]))
            .await;
        assert_eq!(said.ok(), format!("{REFUSED}own child works\n"), "{mode:?}");
    }
}

/// The one case in which a command can name processes of others: it has no pid namespace. Its user is the same, so it is
/// Landlock alone that stands between.
#[tokio::test]
async fn without_a_pid_namespace_others_are_not_looked_into_and_not_signalled_either() {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let socket = directory.path().join("socket");
    let mut process = without("pid", &socket, "best-effort")
        .arg("--exit-with-stdin")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the runner is ready", || socket.exists()).await;
    let runner = UnixRunner::new(&socket);
    let capabilities = runner.capabilities().await.unwrap();
    assert!(!capabilities.has(Mechanism::PidNamespace) && capabilities.has(Mechanism::Landlock));

    let never = CancellationToken::new();
    let mark = mark(62);
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    std::fs::create_dir(&one).unwrap();
    std::fs::create_dir(&two).unwrap();
    let (one, two) = (build_in(&one), build_in(&two));
    let other = runner.run(shell(&one, &format!("sleep {mark}; :")), &never);
    let spy = async {
        eventually("the other runs", || processes_marked(&mark).len() == 2).await;
        let other = processes_marked(&mark)[1].to_string();
        let own = process.id().to_string();
        let look = format!(
            "{LOOK}\nfor pid in map(int, sys.argv[1:]):\n    try:\n        os.kill(pid, 15)\n    \
             except OSError as error:\n        print('signal', errno.errorcode[error.errno])\n"
        );
        let words = ["python3", "-c", look.as_str(), &other, &own];
        let spied = RunRequest {
            argv: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
            ..request(&two, &["python3"])
        };
        let response = runner.run(spied, &never).await.unwrap();
        let said = std::fs::read_to_string(&two.stdout).unwrap_or_default();
        let erred = std::fs::read_to_string(&two.stderr).unwrap_or_default();
        assert_eq!(response.outcome, Outcome::Exited(0), "{said}{erred}");
        assert_eq!(processes_marked(&mark).len(), 2, "it still runs");
        said
    };
    let said = tokio::select! {
        said = spy => said,
        response = other => panic!("{response:?}"),
    };
    let signals = "signal EPERM\nsignal EPERM\n";
    assert_eq!(said, format!("{REFUSED}{REFUSED}own child works\n{signals}"));
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
}
