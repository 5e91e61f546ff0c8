use super::*;
use crate::flags::tables::{LOGGING, REWRAPPER};

const FILE: &str = "/etc/re.cfg";

/// Reads a command line of rewrapper in an environment, with the text of the file [`FILE`].
fn parse(line: &[&str], environment: &[(&str, &str)], file: Option<&str>) -> Result<Parsed, FlagError> {
    let variable = |name: &str| {
        environment
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| (*value).into())
    };
    let read_file = |path: &Path| match file {
        Some(text) if path == Path::new(FILE) => Ok(text.to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let surroundings = Surroundings {
        variable: &variable,
        read_file: &read_file,
    };
    let line = line.iter().map(OsString::from).collect();
    read(&[LOGGING, REWRAPPER], line, &surroundings)
}

fn flags(line: &[&str], environment: &[(&str, &str)], file: Option<&str>) -> (Flags, Vec<OsString>) {
    match parse(line, environment, file) {
        Ok(Parsed::Flags(flags, rest)) => (flags, rest),
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn every_way_to_write_a_flag() {
    let (flags, rest) = flags(
        &[
            "-exec_root=/r",
            "--command_id",
            "id",
            "-compare",
            "--log_env=false",
            "-inputs",
            "a,b",
            "-platform=k=v,x=y=z",
            "cc",
            "-c",
            "--compare=no",
        ],
        &[],
        None,
    );
    assert_eq!(flags.path("exec_root"), Some("/r".into()));
    assert_eq!(flags.text("command_id"), "id");
    assert!(flags.bool("compare") && !flags.bool("log_env"));
    assert_eq!(flags.paths("inputs"), [Path::new("a"), Path::new("b")]);
    assert_eq!(flags.map("platform")["x"], "y=z");
    assert_eq!(rest, ["cc", "-c", "--compare=no"]);
}

#[test]
fn where_flags_end() {
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--", "-x", "--"], &["-x", "--"]),
        (&["-compare", "true", "-x"], &["true", "-x"]),
        (&["-"], &["-"]),
        (&["-command_id", "--", "cc"], &["cc"]),
        (&[], &[]),
    ];
    for (line, expected) in cases {
        assert_eq!(flags(line, &[], None).1, expected, "{line:?}");
    }
}

#[test]
fn the_last_one_counts() {
    let (flags, _) = flags(&["-inputs=a,b", "-inputs=c"], &[], None);
    assert_eq!(flags.paths("inputs"), [Path::new("c")]);
}

#[test]
fn line_before_environment_before_file_before_default() {
    let file = Some("exec_strategy=racing\nexec_timeout 10m\nunknown=1\n");
    let config = ("RBE_cfg", FILE);
    let check = |line: &[&str], environment: &[(&str, &str)], file, strategy: &str, seconds: u64| {
        let (flags, _) = flags(line, environment, file);
        let shown = format!("{line:?} {environment:?}");
        assert_eq!(flags.text("exec_strategy"), strategy, "{shown}");
        assert_eq!(flags.duration("exec_timeout").as_secs(), seconds, "{shown}");
    };
    check(&[], &[], None, "remote", 3600);
    check(&["-cfg=/etc/re.cfg"], &[], file, "racing", 600);
    check(&[], &[config], file, "racing", 600);
    check(&[], &[("FLAG_cfg", FILE)], file, "racing", 600);
    check(&[], &[config, ("RBE_exec_strategy", "local")], file, "local", 600);
    check(
        &["-exec_strategy=remote"],
        &[config, ("RBE_exec_strategy", "local")],
        file,
        "remote",
        600,
    );
    check(
        &[],
        &[("FLAG_exec_strategy", "local"), ("RBE_exec_strategy", "racing")],
        None,
        "racing",
        3600,
    );
    check(&[], &[("FLAG_exec_strategy", "local")], None, "local", 3600);
    check(&[], &[("RBE_EXEC_STRATEGY", "local")], None, "remote", 3600);
    // A bad value in the environment is passed over.
    check(&[], &[config, ("RBE_exec_timeout", "soon")], file, "racing", 600);
    check(
        &[],
        &[("RBE_exec_timeout", "soon"), ("FLAG_exec_timeout", "1s")],
        None,
        "remote",
        3600,
    );
    check(&[], &[("RBE_cfg", "")], None, "remote", 3600);
}

#[test]
fn mistakes_are_named() {
    let check = |line: &[&str], file: Option<&str>, expected: &str| {
        let error = parse(line, &[], file).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(&["-speed=9"], None, "flag provided but not defined: -speed");
    check(&["---compare"], None, "bad flag syntax: ---compare");
    check(&["-=x"], None, "bad flag syntax: -=x");
    check(&["-exec_root"], None, "flag needs an argument: -exec_root");
    check(
        &["-compare=no"],
        None,
        "invalid value \"no\" for flag -compare: is no boolean",
    );
    check(
        &["-exec_timeout", "5"],
        None,
        "invalid value \"5\" for flag -exec_timeout: is no duration, as 1h30m or 250ms",
    );
    check(
        &["-platform=linux"],
        None,
        "invalid value \"linux\" for flag -platform: is no list of key=value with commas between them",
    );
    check(
        &["-cfg", FILE],
        Some("\nnum_local_reruns=two"),
        "/etc/re.cfg:2: invalid value \"two\" for flag -num_local_reruns: is no whole number",
    );
    check(
        &["-cfg=/nowhere"],
        None,
        "cannot read the configuration file /nowhere: entity not found",
    );
}

#[test]
fn help_is_asked_for() {
    for word in ["-h", "-help", "--help"] {
        assert!(matches!(parse(&[word], &[], None), Ok(Parsed::Help)), "{word}");
    }
}

#[test]
fn what_was_said_is_known() {
    let (flags, _) = flags(&["-compare=false"], &[("RBE_log_dir", "/l")], None);
    let said: Vec<_> = flags
        .said()
        .map(|(flag, value)| (flag.name, value.to_str().unwrap()))
        .collect();
    assert_eq!(said, [("compare", "false"), ("log_dir", "/l")]);
    assert!(!flags.is_said("exec_root") && flags.is_said("compare"));
}
