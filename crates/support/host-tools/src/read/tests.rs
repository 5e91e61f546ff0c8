use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const STATUS: &str =
    "Package: gcc-12\nStatus: install ok installed\nVersion: 12.2.0-14\nArchitecture: amd64\n";

/// A machine with these files.
fn machine(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        write(&root, path, content);
    }
    root
}

fn write(root: &TempDir, path: &str, content: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn names_of(root: &TempDir) -> Vec<String> {
    let facts = read(root.path(), "x86_64").unwrap();
    facts
        .databases
        .into_iter()
        .map(|database| database.name)
        .collect()
}

#[test]
fn each_package_manager_is_found() {
    let debian = machine(&[
        (DPKG_STATUS, STATUS),
        (DPKG_DIVERSIONS, "/a\n/b\n:\n"),
        ("etc/os-release", "ID=debian\n"),
        ("etc/alternatives/README", "explains"),
    ]);
    symlink("/usr/bin/gcc", debian.path().join("etc/alternatives/cc")).unwrap();
    let facts = read(debian.path(), "x86_64").unwrap();
    assert_eq!(names_of(&debian), [DPKG_STATUS, DPKG_DIVERSIONS]);
    assert_eq!(facts.os_release, b"ID=debian\n");
    assert_eq!(facts.alternatives, [(b"cc".to_vec(), b"/usr/bin/gcc".to_vec())]);
    assert!(!facts.in_change && fingerprint(&facts).is_some());

    let fedora = machine(&[
        ("usr/lib/sysimage/rpm/rpmdb.sqlite", "rows"),
        ("usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "more rows"),
        ("usr/lib/sysimage/rpm/rpmdb.sqlite-shm", "of processes"),
        ("usr/lib/os-release", "ID=fedora\n"),
    ]);
    let expected = [
        "usr/lib/sysimage/rpm/rpmdb.sqlite",
        "usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
    ];
    assert_eq!(names_of(&fedora), expected);
    assert_eq!(read(fedora.path(), "").unwrap().os_release, b"ID=fedora\n");
    let old = machine(&[("var/lib/rpm/Packages", "x"), ("var/lib/rpm/Name", "y")]);
    assert_eq!(names_of(&old), ["var/lib/rpm/Packages"]);
    let alpine = machine(&[("lib/apk/db/installed", "P:gcc\nV:12\n")]);
    assert_eq!(names_of(&alpine), ["lib/apk/db/installed"]);

    let none = machine(&[
        ("etc/os-release", "ID=none\n"),
        (DPKG_STATUS, ""),
        (DPKG_DIVERSIONS, "x"),
    ]);
    assert_eq!(fingerprint(&read(none.path(), "x86_64").unwrap()), None);
}

#[test]
fn what_changes_while_packages_do_is_seen_and_what_says_nothing_is_not() {
    let root = machine(&[(DPKG_STATUS, STATUS), ("etc/os-release", "ID=debian\n")]);
    fs::create_dir_all(root.path().join(DPKG_UPDATES)).unwrap();
    fs::create_dir_all(root.path().join(ALTERNATIVES)).unwrap();
    let mut tools = HostTools::at(root.path(), "x86_64");
    let first = tools.fingerprint().unwrap();
    assert!(first.is_some());
    assert_eq!(tools.fingerprint().unwrap(), first);
    assert_eq!(HostTools::at(root.path(), "x86_64").fingerprint().unwrap(), first);
    assert_ne!(HostTools::at(root.path(), "arm").fingerprint().unwrap(), first);

    // dpkg begins, and notes what it does.
    write(&root, &format!("{DPKG_UPDATES}/0000"), "Package: gcc-12\n");
    assert_eq!(tools.fingerprint().unwrap(), None);
    fs::remove_file(root.path().join(DPKG_UPDATES).join("0000")).unwrap();
    assert_eq!(tools.fingerprint().unwrap(), first);
    write(&root, DPKG_STATUS, &STATUS.replace("12.2.0-14", "12.2.0-15"));
    let second = tools.fingerprint().unwrap();
    assert!(second.is_some() && second != first);
    write(&root, DPKG_STATUS, &format!("{STATUS}Description: new words\n"));
    assert_eq!(tools.fingerprint().unwrap(), first);
    symlink("/usr/bin/clang", root.path().join(ALTERNATIVES).join("cc")).unwrap();
    assert_ne!(tools.fingerprint().unwrap(), first);
}

#[test]
fn nothing_is_read_again_before_it_is_touched() {
    let root = machine(&[(DPKG_STATUS, STATUS)]);
    let mut tools = HostTools::at(root.path(), "x86_64");
    let first = tools.fingerprint().unwrap();
    // Told something else, it believes that.
    tools.known = tools.known.map(|(stamp, _)| (stamp, None));
    assert_eq!(tools.fingerprint().unwrap(), None);
    write(&root, DPKG_STATUS, &format!("{STATUS}\n"));
    assert_eq!(tools.fingerprint().unwrap(), first);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let root = machine(&[(DPKG_STATUS, STATUS)]);
    fs::create_dir_all(root.path().join("etc")).unwrap();
    symlink("os-release", root.path().join("etc/os-release")).unwrap();
    let error = read(root.path(), "x86_64").unwrap_err();
    assert!(error.to_string().contains("etc/os-release"), "{error}");
}

#[test]
fn this_machine_answers() {
    let mut tools = HostTools::of_this_machine();
    let found = tools.fingerprint().unwrap();
    assert_eq!(tools.fingerprint().unwrap(), found);
    let has_dpkg = Path::new("/var/lib/dpkg/status").exists();
    assert!(found.is_some() || !has_dpkg || !names(Path::new("/var/lib/dpkg/updates")).unwrap().is_empty());
}
