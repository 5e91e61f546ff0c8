//! Whom a command can talk to.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use runner_api::RunRequest;

use crate::host::{Host, mark, modes, request};

/// Each way out with what it says. 192.0.2.1 and 2001:db8::1 are nobody's, and 169.254.169.254 is where clouds keep what
/// a machine may do.
const WAYS: &str = "
import errno, socket, struct, sys
from socket import AF_INET as I, AF_INET6 as I6, AF_UNIX as U, SOCK_STREAM as S, SOCK_DGRAM as D, SOCK_RAW as R

def way(name, go):
    try:
        print(name, go() or 'works')
    except socket.gaierror:
        print(name, 'unknown')
    except OSError as error:
        print(name, errno.errorcode[error.errno])

def netlink(kind, body):
    with socket.socket(socket.AF_NETLINK, R, 0) as s:
        s.sendall(struct.pack('=IHHII', 16 + len(body), kind, 5, 1, 0) + body)
        answer = s.recv(4096)
        return errno.errorcode.get(-struct.unpack('=i', answer[16:20])[0], 'works')

way('raw-icmp', lambda: socket.socket(I, R, 1).close())
way('raw-tcp', lambda: socket.socket(I, R, 6).close())
way('raw-icmp6', lambda: socket.socket(I6, R, 58).close())
way('ping', lambda: socket.socket(I, D, 1).close())
way('tcp', lambda: socket.socket(I, S).connect(('192.0.2.1', 53)))
way('tcp6', lambda: socket.socket(I6, S).connect(('2001:db8::1', 53)))
way('udp', lambda: socket.socket(I, D).sendto(b'x', ('192.0.2.1', 53)) and None)
way('metadata-tcp', lambda: socket.socket(I, S).connect(('169.254.169.254', 80)))
way('metadata-udp', lambda: socket.socket(I, D).sendto(b'x', ('169.254.169.254', 80)) and None)
way('dns', lambda: socket.gethostbyname('example.com'))
way('path', lambda: socket.socket(U, S).connect(sys.argv[1]))
way('abstract', lambda: socket.socket(U, S).connect(chr(0) + sys.argv[2]))
way('new-link', lambda: netlink(16, struct.pack('=BxHiII', 0, 0, 1, 0, 0)))
way('new-address', lambda: netlink(20, struct.pack('=BBBBI', 2, 8, 0, 0, 1)))
way('new-route', lambda: netlink(24, struct.pack('=BBBBBBBBI', 2, 0, 0, 0, 254, 4, 0, 1, 0)))
";

const CLOSED: &str = "\
raw-icmp EPERM
raw-tcp EPERM
raw-icmp6 EPERM
ping EACCES
tcp ENETUNREACH
tcp6 ENETUNREACH
udp ENETUNREACH
metadata-tcp ENETUNREACH
metadata-udp ENETUNREACH
dns unknown
path ENOENT
abstract ECONNREFUSED
new-link EPERM
new-address EPERM
new-route EPERM
";

#[tokio::test]
async fn what_leads_out_is_closed_and_says_so() {
    let scratch = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = scratch.path().join("socket");
    let by_path = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    let name = format!("farrier-{}", mark(61));
    let by_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
    for listener in [&by_path, &by_name] {
        listener.set_nonblocking(true).unwrap();
    }
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let words = ["python3", "-c", WAYS, path.to_str().unwrap(), &name];
        assert_eq!(
            host.run(&build, request(&build, &words)).await.ok(),
            CLOSED,
            "{mode:?}"
        );
    }
    assert!(
        by_path.accept().is_err() && by_name.accept().is_err(),
        "nobody came"
    );

    // Those that need no network are open where nothing is confined, so the listeners are there.
    let open = Host::start_with(modes()[0], &["--sandbox", "off"]).await;
    let build = open.build().await;
    let words = ["python3", "-c", WAYS, path.to_str().unwrap(), &name];
    let said = open.run(&build, request(&build, &words)).await.ok();
    assert!(said.contains("path works\nabstract works\n"), "{said}");
}

#[tokio::test]
async fn an_abstract_socket_of_the_host_is_out_of_reach_with_its_network_too() {
    let name = format!("farrier-{}", mark(1));
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let script = format!(
            "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0) or die; \
             connect(S, pack('Sa*', AF_UNIX, \"\\0{name}\")) ? print 'in' : print $!"
        );
        let asked = RunRequest {
            network: true,
            ..request(&build, &["perl", "-e", &script])
        };
        assert_eq!(host.run(&build, asked).await.ok(), "Operation not permitted");
    }
    assert!(listener.accept().is_err(), "nobody came");
}
