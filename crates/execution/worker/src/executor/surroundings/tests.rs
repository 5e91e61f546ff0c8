use blob::{Digest, DigestFunction};
use merkle::TreeBuilder;
use reapi::execution as proto;

use super::*;

const F: DigestFunction = DigestFunction::Sha256;

/// An input tree of files, and of symlinks written as `path -> target`.
fn input(entries: &[&str]) -> InputTree {
    let mut builder = TreeBuilder::new();
    for entry in entries {
        match entry.split_once(" -> ") {
            Some((path, target)) => builder.insert_symlink(path, target).unwrap(),
            None if entry.ends_with('/') => builder.insert_directory(entry.trim_end_matches('/')).unwrap(),
            None => builder
                .insert_file(entry, Digest::of(F, entry.as_bytes()), true)
                .unwrap(),
        }
    }
    builder.build(F).unwrap().into_tree().as_input_tree().clone()
}

fn platform(properties: &[(&str, &str)]) -> Platform {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Platform::new(properties.iter().map(owned)).unwrap()
}

fn command(program: &str, path: Option<&str>) -> Command {
    Command::from_proto(&proto::Command {
        arguments: vec![program.to_owned()],
        environment_variables: path
            .map(|path| proto::command::EnvironmentVariable {
                name: "PATH".to_owned(),
                value: path.to_owned(),
            })
            .into_iter()
            .collect(),
        ..Default::default()
    })
    .unwrap()
}

const EVERYTHING: Possible = Possible {
    options: SurroundingsOptions {
        input_root: InputRootAsRoot::Detected,
        network: true,
    },
    roots: true,
    users: true,
    images: true,
};

fn code(result: Result<Surroundings, Failure>) -> Code {
    match result {
        Err(Failure::Status(code, _)) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_is_named_once_and_beside_no_other_root() {
    let image = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let (one, other) = (image("1"), image("2"));
    let named = format!("docker://tools@{one}");
    let of = |possible: &Possible, properties: &[(&str, &str)]| {
        Surroundings::of(
            possible,
            &platform(properties),
            &command("sh", None),
            &input(&["bin/sh"]),
        )
    };
    for properties in [
        &[("container-image", one.as_str())][..],
        &[("container-image", &named)],
        &[("container-image", &named), ("container-image", &one)],
    ] {
        let found = of(&EVERYTHING, properties).unwrap();
        // Also where the input root would be taken for one.
        assert_eq!(
            (found.root, found.image),
            (Root::Image, ContainerImage::parse(&one))
        );
    }
    let refused: &[&[(&str, &str)]] = &[
        &[("container-image", &one), ("container-image", &other)],
        &[("container-image", &one), ("root", "inputs")],
        &[("container-image", &one), ("root", "host")],
    ];
    for properties in refused {
        assert_eq!(
            code(of(&EVERYTHING, properties)),
            Code::InvalidArgument,
            "{properties:?}"
        );
    }
    // What has no images is what its operator says it is.
    let without = Possible {
        images: false,
        ..EVERYTHING
    };
    let found = of(&without, &[("container-image", &one)]).unwrap();
    assert_eq!((found.root, found.image), (Root::InputRoot, None));
}

#[test]
fn an_input_root_that_holds_the_program_where_a_root_would_is_one() {
    let system: &[&str] = &[
        "usr/bin/sh",
        "bin -> usr/bin",
        "sbin/init -> ../bin/sh",
        "loop -> loop",
        "abs -> /usr/bin/sh",
        "opt/t/x -> /bin/sh",
    ];
    let cases: &[(&[&str], &str, Option<&str>, bool)] = &[
        (system, "sh", None, true),
        (system, "/bin/sh", None, true),
        (system, "/usr/../sbin/./init", None, true),
        (system, "/abs", None, true),
        (system, "sh", Some("/nowhere:/sbin:/bin"), true),
        (system, "x", Some("/opt/t"), true),
        (system, "sh", Some("/sbin:usr/bin"), false),
        (system, "/usr/bin", None, false),
        (system, "/loop", None, false),
        (system, "gcc", None, false),
        (system, "usr/bin/sh", None, false),
        (system, "./sh", None, false),
        // What builds usually send.
        (
            &["src/a.c", "external/sysroot/usr/bin/gcc"],
            "/usr/bin/gcc",
            None,
            false,
        ),
        (&["src/a.c", "bin/tool"], "bin/tool", None, false),
        (&[], "/bin/sh", None, false),
    ];
    for (tree, program, path, expected) in cases {
        let found = brings_its_program(&command(program, *path), &input(tree));
        assert_eq!(found, *expected, "{program} with PATH {path:?} in {tree:?}");
    }
}

#[test]
fn the_platform_is_obeyed_before_anything_is_guessed() {
    let (system, sources) = (input(&["bin/sh"]), input(&["a.c"]));
    let sh = command("sh", None);
    let with = |input_root| Possible {
        options: SurroundingsOptions {
            input_root,
            network: false,
        },
        ..EVERYTHING
    };
    let (never, asked, detected) = (
        with(InputRootAsRoot::Never),
        with(InputRootAsRoot::Asked),
        with(InputRootAsRoot::Detected),
    );
    let root = |possible: &Possible, properties: &[(&str, &str)], input: &InputTree| {
        Surroundings::of(possible, &platform(properties), &sh, input).map(|surroundings| surroundings.root)
    };
    assert_eq!(root(&detected, &[], &system).unwrap(), Root::InputRoot);
    assert_eq!(root(&detected, &[], &sources).unwrap(), Root::Host);
    assert_eq!(root(&detected, &[("root", "host")], &system).unwrap(), Root::Host);
    for possible in [&asked, &never] {
        assert_eq!(root(possible, &[], &sources).unwrap(), Root::Host);
        assert_eq!(root(possible, &[("root", "host")], &system).unwrap(), Root::Host);
    }
    assert_eq!(
        root(&asked, &[("root", "inputs")], &sources).unwrap(),
        Root::InputRoot
    );
    // Nothing of a system is run on the host unasked.
    for (possible, option) in [(&asked, "asked"), (&never, "never")] {
        match root(possible, &[], &system) {
            Err(Failure::Status(Code::FailedPrecondition, message)) => assert!(
                message.contains(&format!("--input-root-as-root {option}"))
                    && message.contains("`root` = `host`"),
                "{message}"
            ),
            other => panic!("{other:?}"),
        }
    }
    let refused = |possible: &Possible, properties: &[(&str, &str)]| {
        code(Surroundings::of(possible, &platform(properties), &sh, &system))
    };
    assert_eq!(refused(&never, &[("root", "inputs")]), Code::Unavailable);
    assert_eq!(refused(&detected, &[("root", "yes")]), Code::InvalidArgument);
    assert_eq!(refused(&detected, &[("network", "on")]), Code::Unavailable);
    assert_eq!(refused(&detected, &[("network", "1")]), Code::InvalidArgument);
    // Never on the host instead.
    let unable = Possible {
        roots: false,
        ..detected
    };
    assert_eq!(refused(&unable, &[]), Code::Unavailable);
    let unable = Possible {
        users: false,
        ..detected
    };
    assert_eq!(refused(&unable, &[("unixUID", "0")]), Code::Unavailable);
}

#[test]
fn users_and_networks_are_asked_for() {
    let sources = input(&["a.c"]);
    let of = |properties: &[(&str, &str)]| {
        Surroundings::of(&EVERYTHING, &platform(properties), &command("sh", None), &sources)
    };
    let plain = of(&[]).unwrap();
    assert_eq!(
        (plain.user, plain.network, plain.are_ordinary()),
        (None, false, true)
    );
    let all = of(&[("network", "on"), ("unixGID", "7"), ("unixUID", "0")]).unwrap();
    assert_eq!((all.user, all.network), (Some(User { uid: 0, gid: 7 }), true));
    let half = of(&[("unixUID", "12")]).unwrap();
    assert_eq!(half.user, Some(User { uid: 12, gid: 1000 }));
    for bad in ["-1", "root", "4294967295", "4294967296", ""] {
        assert_eq!(code(of(&[("unixUID", bad)])), Code::InvalidArgument, "{bad}");
    }
}

#[test]
fn the_input_root_is_where_the_platform_says() {
    let (system, sources) = (input(&["bin/sh"]), input(&["a.c"]));
    let of = |possible: &Possible, properties: &[(&str, &str)], input: &InputTree| {
        Surroundings::of(possible, &platform(properties), &command("sh", None), input)
    };
    let home = ("InputRootAbsolutePath", "/home/ann");
    let found = of(&EVERYTHING, &[home], &sources).unwrap();
    assert_eq!(found.place, InputRootPlace::parse("/home/ann").ok());
    assert_eq!((found.root, found.are_ordinary()), (Root::Host, false));
    // It is not the root then, whatever is in it; and in an image it can be anywhere too.
    assert_eq!(of(&EVERYTHING, &[home], &system).unwrap().root, Root::Host);
    let same = ("InputRootAbsolutePath", "//home/ann/");
    assert_eq!(
        of(&EVERYTHING, &[home, same], &sources).unwrap().place,
        found.place
    );
    let image = ("container-image", format!("sha256:{}", "a".repeat(64)));
    let in_image = of(&EVERYTHING, &[home, (image.0, &image.1)], &sources).unwrap();
    assert_eq!((in_image.root, in_image.place), (Root::Image, found.place));

    let refused = |possible: &Possible, properties: &[(&str, &str)]| match of(possible, properties, &sources)
    {
        Err(Failure::Status(code, message)) => (code, message),
        other => panic!("{other:?}"),
    };
    for (bad, part) in [
        (
            &[("InputRootAbsolutePath", "/usr/src")][..],
            "\"/usr/src\": tools",
        ),
        (&[("InputRootAbsolutePath", "work")], "not absolute"),
        (&[("InputRootAbsolutePath", "/a/../usr")], "`..`"),
        (&[("InputRootAbsolutePath", "/")], "the root"),
        (&[home, ("InputRootAbsolutePath", "/src")], "several places"),
        (&[home, ("root", "inputs")], "somewhere else"),
    ] {
        let (code, message) = refused(&EVERYTHING, bad);
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert!(
            message.contains(part) && message.contains("InputRootAbsolutePath"),
            "{message}"
        );
    }
    let unable = Possible {
        roots: false,
        ..EVERYTHING
    };
    let (code, message) = refused(&unable, &[home]);
    assert_eq!(code, Code::Unavailable);
    assert!(message.contains("`InputRootAbsolutePath`"), "{message}");
}

#[test]
fn an_output_that_would_be_lost_is_refused() {
    let writes = |root: &str, directory: &str, output: &str| {
        let command = Command::from_proto(&proto::Command {
            arguments: vec!["sh".to_owned()],
            working_directory: directory.to_owned(),
            output_paths: vec![output.to_owned()],
            ..Default::default()
        });
        let platform = platform(&[("root", root)]);
        Surroundings::of(
            &EVERYTHING,
            &platform,
            &command.unwrap(),
            &input(&["bin/sh", "work/a"]),
        )
    };
    for (directory, output) in [("", "tmp/a"), ("work", "../proc"), ("", "dev/shm/x")] {
        assert_eq!(
            code(writes("inputs", directory, output)),
            Code::InvalidArgument,
            "{output}"
        );
        assert!(writes("host", directory, output).is_ok(), "{output}");
    }
    for (directory, output) in [("", ""), ("", "tmpfile"), ("work", "tmp/a"), ("", "var/tmp/a")] {
        assert!(writes("inputs", directory, output).is_ok(), "{output}");
    }
}

#[test]
fn mount_points_are_directories_or_made_for_the_while() {
    let of = |tree: &[&str]| {
        Surroundings::of(
            &EVERYTHING,
            &platform(&[("root", "inputs")]),
            &command("sh", None),
            &input(tree),
        )
    };
    assert_eq!(of(&["bin/sh"]).unwrap().mount_points, ["dev", "proc", "tmp"]);
    assert_eq!(
        of(&["bin/sh", "tmp/", "dev/null"]).unwrap().mount_points,
        ["proc"]
    );
    assert_eq!(code(of(&["bin/sh", "tmp -> var/tmp"])), Code::InvalidArgument);
    assert_eq!(code(of(&["bin/sh", "proc"])), Code::InvalidArgument);
}
