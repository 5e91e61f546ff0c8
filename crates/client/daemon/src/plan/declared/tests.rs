use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use file_digests::FileDigests;
use prost::Message as _;
use reapi::execution as proto;

use super::*;
use crate::plan::build::Words;

/// The tree of an action that has what is declared, a line for each node: directories with a `/`, links with what they
/// lead to.
fn tree(root: &Path, asked: &Settings, more: &More<'_>) -> Result<Vec<String>, Why> {
    let layout = Layout::new(Some(root), root);
    let digests = FileDigests::new(FUNCTION);
    let mut builder = ActionBuilder::new(&layout, &digests).keeping_links(asked.preserve_symlink);
    add(asked, more, &layout, &mut builder, &mut Grounds::default())?;
    let built = builder.build(Words {
        arguments: vec!["/usr/bin/gcc".into()],
        known_arguments: None,
        environment: Vec::new(),
        outputs: Vec::new(),
        platform: Vec::new(),
        worker: Vec::new(),
        salt: Vec::new(),
        is_uncacheable: false,
        timeout: None,
    })?;
    let blobs = built.sources.in_memory().map(|blob| {
        let digest = blob.digest();
        match blob.into_body() {
            blob::Body::Bytes(bytes) => (digest, bytes),
            _ => panic!("{digest} is in memory"),
        }
    });
    let blobs: BTreeMap<_, _> = blobs.map(|(digest, bytes)| (digest.to_string(), bytes)).collect();
    let read = |digest: &Digest| blobs[&digest.to_string()].clone();
    let digest = |proto: Option<&proto::Digest>| Digest::required(FUNCTION, proto, "digest").unwrap();
    let action = proto::Action::decode(read(&built.action_digest.digest())).unwrap();
    let mut lines = Vec::new();
    let mut left = vec![(String::new(), digest(action.input_root_digest.as_ref()))];
    while let Some((at, of)) = left.pop() {
        let directory = proto::Directory::decode(read(&of)).unwrap();
        lines.extend(directory.files.iter().map(|file| {
            let mark = if file.is_executable { "*" } else { "" };
            let properties = file.node_properties.as_ref();
            let mtime = properties.and_then(|properties| properties.mtime);
            let time = mtime.map(|at| format!(" @{}.{:09}", at.seconds, at.nanos));
            format!("{at}{}{mark}{}", file.name, time.unwrap_or_default())
        }));
        lines.extend(
            directory
                .symlinks
                .iter()
                .map(|link| format!("{at}{} -> {}", link.name, link.target)),
        );
        for child in &directory.directories {
            let name = format!("{at}{}/", child.name);
            lines.push(name.clone());
            left.push((name, digest(child.digest.as_ref())));
        }
    }
    lines.sort();
    Ok(lines)
}

fn check(change: impl FnOnce(&mut Settings), expected: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(directory.path()).unwrap();
    for name in ["data/deep", "bin", "empty"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for name in ["data/a", "data/deep/b", "bin/tool", "bin/lib"] {
        fs::write(root.join(name), name).unwrap();
    }
    fs::write(
        root.join("bin/tool_remote_toolchain_inputs"),
        "# needs\n\nlib\n // and\n../data/a\n",
    )
    .unwrap();
    fs::write(root.join("bin/remote_toolchain_inputs"), "no/such\n").unwrap();
    symlink("data", root.join("link")).unwrap();
    symlink(".", root.join("data/deep/loop")).unwrap();
    symlink("none", root.join("nowhere")).unwrap();
    symlink("/etc/passwd", root.join("outside")).unwrap();
    symlink(root.join("data/a"), root.join("absolute")).unwrap();
    let mut settings = Settings::default();
    change(&mut settings);
    match tree(&root, &settings, &More::default()) {
        Ok(lines) => assert_eq!(lines, expected),
        Err(why) => assert_eq!([why.label().as_str()], expected, "{why}"),
    }
}

#[test]
fn what_is_declared_is_in_the_tree() {
    check(|asked| asked.inputs = vec!["data/a".into()], &["data/", "data/a"]);
    // Neither what is outside nor what is not there.
    check(
        |asked| asked.inputs = vec!["/etc/passwd".into(), "none".into(), "link/a".into()],
        &["link/", "link/a"],
    );
    check(|asked| asked.inputs = vec!["empty".into()], &["empty/"]);
    check(
        |asked| asked.inputs = vec!["bin".into()],
        &[
            "bin/",
            "bin/lib",
            "bin/remote_toolchain_inputs",
            "bin/tool",
            "bin/tool_remote_toolchain_inputs",
        ],
    );
    check(|asked| asked.inputs = vec!["data".into()], &["unknown inputs"]);
    check(
        |asked| asked.toolchain_inputs = vec!["bin/tool".into()],
        &["bin/", "bin/lib", "bin/tool", "data/", "data/a"],
    );
    check(
        |asked| asked.toolchain_inputs = vec!["bin/lib".into()],
        &["bin/", "bin/lib"],
    );
    check(|asked| asked.empty_directories = vec!["data".into()], &["data/"]);
    check(
        |asked| asked.empty_directories = vec!["none".into()],
        &["unknown inputs"],
    );
    check(
        |asked| asked.extra_symlinks = vec!["link".into()],
        &["link -> data"],
    );
    check(
        |asked| asked.extra_symlinks = vec!["bin".into()],
        &["unreadable input"],
    );
}

#[test]
fn links_may_be_links() {
    let linked = |inputs: &'static [&'static str]| {
        move |asked: &mut Settings| {
            asked.preserve_symlink = true;
            asked.inputs = inputs.iter().map(PathBuf::from).collect();
        }
    };
    check(linked(&["link/a"]), &["data/", "data/a", "link -> data"]);
    // A link that leads upwards leads to what is in already.
    let all = [
        "data/",
        "data/a",
        "data/deep/",
        "data/deep/b",
        "data/deep/loop -> .",
        "link -> data",
    ];
    check(linked(&["link"]), &all);
    check(linked(&["data", "link"]), &all);
    check(
        linked(&["link/deep/loop/loop/b"]),
        &[
            "data/",
            "data/deep/",
            "data/deep/b",
            "data/deep/loop -> .",
            "link -> data",
        ],
    );
    check(linked(&["link/../data/a"]), &["data/", "data/a", "link -> data"]);
    // As is a link to where nothing is.
    check(linked(&["nowhere"]), &["nowhere -> none"]);
    // What only this machine has is as if it were there; a link that says where it is from the top says it from there.
    check(linked(&["outside"]), &["outside"]);
    check(linked(&["absolute"]), &["absolute -> data/a", "data/", "data/a"]);
}

#[test]
fn what_a_compiler_makes_is_no_input_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(directory.path()).unwrap();
    for name in ["a.c", "a.o", "b.o"] {
        fs::write(root.join(name), name).unwrap();
    }
    let asked = Settings {
        inputs_override: Some(vec![".".into()]),
        ..Settings::default()
    };
    let more = More {
        made: [root.join("a.o")].into(),
        ..More::default()
    };
    assert_eq!(tree(&root, &asked, &more).unwrap(), ["a.c", "b.o"]);
}

#[test]
fn what_only_the_server_has_is_in_the_tree_by_its_digest() {
    let digest = Digest::of(FUNCTION, b"elsewhere").to_string();
    let input = |digest: &str, mode, mtime_ns| VirtualInput {
        path: "made/x".into(),
        digest: digest.to_owned(),
        mode,
        mtime_ns,
    };
    let with = |input: VirtualInput| |asked: &mut Settings| asked.virtual_inputs = vec![input];
    check(with(input(&digest, None, None)), &["made/", "made/x"]);
    check(with(input(&digest, Some(0o755), None)), &["made/", "made/x*"]);
    check(with(input("abc/3", None, None)), &["unknown inputs"]);
    check(
        with(input(&digest, None, Some(-1))),
        &["made/", "made/x @-1.999999999"],
    );
}
