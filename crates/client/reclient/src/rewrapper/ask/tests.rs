use std::io;

use super::*;
use crate::flags::tables::{LOGGING, REWRAPPER};
use crate::flags::{Parsed, Surroundings, read};

fn try_ask(line: &str) -> Result<Ask, NoAsk> {
    let surroundings = Surroundings {
        variable: &|_| None,
        read_file: &|_| Err(io::ErrorKind::NotFound.into()),
    };
    let words = line.split_whitespace().map(OsString::from).collect();
    let Ok(Parsed::Flags(flags, _)) = read(&[LOGGING, REWRAPPER], words, &surroundings) else {
        panic!("{line}: no flags");
    };
    // A link leads to the exec root.
    let resolve = |path: &Path| match path == Path::new("/link") {
        true => "/src".into(),
        false => path.to_owned(),
    };
    ask(&flags, Path::new("/src/out/Debug"), &resolve)
}

fn settings(line: &str) -> Settings {
    try_ask(line).unwrap().settings
}

/// What rewrapper asks when nobody says anything.
fn usual() -> Settings {
    Settings {
        dialect: Dialect::Reclient,
        labels: [("type".to_owned(), "tool".to_owned())].into(),
        exec_root: Some("/src/out/Debug".into()),
        strategy: Some(Strategy::Remote),
        exec_timeout: Some(Duration::from_secs(3600)),
        reclient_timeout: Some(Duration::from_secs(3600)),
        env_allow: Some(Vec::new()),
        env_unset_is_empty: true,
        accept_cache: Some(true),
        update_cache: Some(true),
        download_outputs: Some(true),
        atomic_downloads: Some(true),
        ..Settings::default()
    }
}

#[test]
fn defaults() {
    let ask = try_ask("").unwrap();
    assert_eq!(ask.settings, usual());
    assert_eq!(ask.address, None);
    assert_eq!(ask.dial_timeout, Duration::from_secs(180));
}

/// Each flag changes its own setting and no other.
#[test]
fn one_flag_at_a_time() {
    let check = |line: &str, change: &dyn Fn(&mut Settings)| {
        let mut expected = usual();
        change(&mut expected);
        assert_eq!(settings(line), expected, "{line}");
    };
    check("-command_id=c", &|s| s.command_id = Some("c".to_owned()));
    check("-invocation_id=i", &|s| s.invocation_id = Some("i".to_owned()));
    check("-correlated_invocations_id=i", &|s| {
        s.correlated_invocations_id = Some("i".to_owned());
    });
    check("-tool_name=t", &|_| {});
    check("-labels=type=link,tool=clang", &|s| {
        s.labels = [("type", "link"), ("tool", "clang")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    });
    check("-exec_root=/src", &|s| s.exec_root = Some("/src".into()));
    check("-exec_root=/link", &|s| s.exec_root = Some("/src".into()));
    check("-exec_timeout=90500ms", &|s| {
        s.exec_timeout = Some(Duration::from_secs(90));
    });
    check("-exec_timeout=0", &|s| s.exec_timeout = None);
    check("-reclient_timeout=2s", &|s| {
        s.reclient_timeout = Some(Duration::from_secs(2));
    });
    check("-platform=OSFamily=Linux", &|s| {
        s.platform = [("OSFamily".to_owned(), "Linux".to_owned())].into();
    });
    check("-env_var_allowlist=PATH,HOME", &|s| {
        s.env_allow = Some(vec!["PATH".into(), "HOME".into()]);
    });
    check("-inputs=a,b/c", &|s| s.inputs = vec!["a".into(), "b/c".into()]);
    check("-virtual_inputs=path=v,digest=ab/1", &|s| {
        s.virtual_inputs = vec![settings::VirtualInput {
            path: "v".into(),
            digest: "ab/1".to_owned(),
            ..Default::default()
        }];
    });
    check("-toolchain_inputs=bin/cc", &|s| {
        s.toolchain_inputs = vec!["bin/cc".into()];
    });
    check("-input_list_paths=in.rsp", &|s| {
        s.input_list_paths = vec!["/src/out/Debug/in.rsp".into()];
    });
    check("-output_list_paths=/out.rsp", &|s| {
        s.output_list_paths = vec!["/out.rsp".into()];
    });
    check("-output_directories=d", &|s| {
        s.output_directories = vec!["d".into()]
    });
    check("-exec_strategy=racing", &|s| s.strategy = Some(Strategy::Racing));
    check("-compare", &|s| s.compare = true);
    check("-num_local_reruns=2", &|s| s.local_reruns = 2);
    check("-num_remote_reruns=3", &|s| s.remote_reruns = 3);
    check("-num_retries_if_mismatched=4", &|s| s.remote_reruns = 4);
    check("-num_retries_if_mismatched=4 -num_remote_reruns=3", &|s| {
        s.remote_reruns = 3;
    });
    check("-compare -fail_on_mismatch", &|s| {
        (s.compare, s.fail_on_mismatch) = (true, true);
    });
    check("-remote_accept_cache=false", &|s| s.accept_cache = Some(false));
    check("-remote_update_cache=false", &|s| {
        (s.update_cache, s.uncacheable) = (Some(false), true);
    });
    check("-remote_update_cache=false -exec_strategy=local", &|s| {
        (s.update_cache, s.strategy) = (Some(false), Some(Strategy::Local));
    });
    check("-download_outputs=false", &|s| s.download_outputs = Some(false));
    check("-download_regex=-.*[.]o", &|s| {
        s.download_regex = Some("-.*[.]o".to_owned());
    });
    check("-enable_atomic_downloads=false", &|s| {
        s.atomic_downloads = Some(false)
    });
    check("-log_env", &|s| s.log_env = true);
    check("-preserve_unchanged_output_mtime", &|s| {
        s.preserve_unchanged_output_mtime = true;
    });
    check("-local_wrapper=./w.sh", &|s| {
        s.local_wrapper = vec!["./w.sh".into()]
    });
    check("-remote_wrapper=./w.sh", &|s| {
        s.remote_wrapper = vec!["./w.sh".into()]
    });
    check("-preserve_symlink", &|s| s.preserve_symlink = true);
    check("-canonicalize_working_dir", &|s| {
        s.canonicalize_working_dir = true
    });
    check("-action_log=log", &|s| {
        s.action_log = Some("/src/out/Debug/log".into());
    });
}

#[test]
fn absolute_paths_below_the_exec_root_become_relative() {
    let settings = settings("-exec_root=/src -output_files=/src/out/a.o,b.o,/tmp/c -inputs=/src");
    assert_eq!(
        settings.output_files,
        ["out/a.o", "b.o", "/tmp/c"].map(PathBuf::from)
    );
    assert_eq!(settings.inputs, [PathBuf::from(".")]);
}

#[test]
fn what_cannot_be_asked() {
    let check = |line: &str, expected: &str| {
        let error = try_ask(line).unwrap_err().to_string();
        assert_eq!(error, expected, "{line}");
    };
    check(
        "-exec_strategy=lerc",
        "exec_strategy \"lerc\" is none of local, remote, remote_local_fallback, racing",
    );
    check(
        "-num_local_reruns=-1",
        "num_local_reruns must not be negative, and not above 4294967295",
    );
    check("-fail_on_mismatch", "fail_on_mismatch needs compare");
    check(
        "-exec_root=/other",
        "the working directory /src/out/Debug is not below the exec root /other",
    );
    check(
        "-server_address=nowhere",
        "server_address: \"nowhere\" is no address: expected unix:///path or host:port",
    );
    check(
        "-reclient_timeout=0",
        "reclient_timeout must be at least a second",
    );
    assert!(try_ask("-virtual_inputs=path=x").is_err());
}
