use super::*;
use crate::said::read;

fn try_plan(variables: &[(&str, &str)]) -> Result<Plan, NoPlan> {
    let environment: Vec<_> = variables
        .iter()
        .map(|(name, value)| (format!("RECC_{name}").into(), value.into()))
        .collect();
    let surroundings = Surroundings {
        directory: Path::new("/home/me/build"),
        environment: &environment,
    };
    plan(&read(&[], &environment), &surroundings)
}

/// What recc asks when nobody says anything.
fn usual() -> Settings {
    Settings {
        dialect: Dialect::Recc,
        project_root: Some("/home/me/build".into()),
        strategy: Some(Strategy::Remote),
        handle_links: Some(false),
        env_allow: Some(Vec::new()),
        accept_cache: Some(true),
        update_cache: Some(false),
        download_outputs: Some(true),
        ..Settings::default()
    }
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn defaults() {
    let plan = try_plan(&[]).unwrap();
    assert_eq!(plan.settings, usual());
    assert_eq!(plan.warnings, [] as [&str; 0]);
    assert!(!plan.is_talkative);
}

/// Each variable changes its own setting and no other.
#[test]
fn one_variable_at_a_time() {
    let check = |name: &str, value: &str, change: &dyn Fn(&mut Settings)| {
        let mut expected = usual();
        change(&mut expected);
        let plan = try_plan(&[(name, value)]).unwrap();
        assert_eq!(plan.settings, expected, "{name}={value}");
        assert_eq!(plan.warnings, [] as [&str; 0], "{name}={value}");
    };
    check("CACHE_ONLY", "1", &|s| s.strategy = Some(Strategy::Local));
    check("COMPILE_CACHE_ONLY", "1", &|s| {
        s.cache_only = [Kind::Compile].into()
    });
    check("CACHE_UPLOAD_LOCAL_BUILD", "1", &|s| s.update_cache = Some(true));
    check("CACHE_UPLOAD_FAILED_BUILD", "1", &|s| s.store_failures = true);
    check("NO_EXECUTE", "1", &|s| s.no_execute = true);
    check("FORCE_REMOTE", "1", &|s| s.force_remote = true);
    check("LINK", "1", &|s| s.handle_links = Some(true));
    check("SKIP_CACHE", "1", &|s| s.accept_cache = Some(false));
    check("ACTION_UNCACHEABLE", "1", &|s| s.uncacheable = true);
    check("ACTION_SALT", "x", &|s| s.salt = Some("x".to_owned()));
    check("IGNORE_FAILURE_RESULT", "1", &|s| s.ignore_failures = true);
    check("DONT_SAVE_OUTPUT", "1", &|s| s.download_outputs = Some(false));
    check("VERIFY", "1", &|s| {
        (s.compare, s.local_reruns, s.remote_reruns) = (true, 1, 1);
    });
    check("PROJECT_ROOT", "/home/me/", &|s| {
        s.project_root = Some("/home/me".into())
    });
    check("PREFIX_MAP", "/a=/b:/c//d=/e/:", &|s| {
        s.prefix_map = vec![("/a".into(), "/b".into()), ("/c/d".into(), "/e".into())];
    });
    check("NO_PATH_REWRITE", "1", &|s| s.keep_absolute_paths = true);
    check("WORKING_DIR_PREFIX", "w/x", &|s| {
        s.working_dir_prefix = Some("w/x".into())
    });
    check("DEPS_GLOBAL_PATHS", "1", &|s| s.global_inputs = true);
    check("DEPS_OVERRIDE", "a.c,a.h", &|s| {
        s.inputs_override = Some(vec!["a.c".into(), "a.h".into()]);
    });
    check("DEPS_OVERRIDE", "", &|_| {});
    check("DEPS_DIRECTORY_OVERRIDE", "d", &|s| {
        s.inputs_directory_override = Some("d".into());
    });
    check("OUTPUT_FILES_OVERRIDE", "a.o", &|s| {
        s.output_files_override = Some(vec!["a.o".into()]);
    });
    check("OUTPUT_DIRECTORIES_OVERRIDE", "o", &|s| {
        s.output_directories_override = Some(vec!["o".into()]);
    });
    check("DEPS_EXCLUDE_PATHS", "/usr", &|s| {
        s.deps_exclude_paths = vec!["/usr".into()]
    });
    check("DEPS_EXTRA_SYMLINKS", "l", &|s| {
        s.extra_symlinks = vec!["l".into()]
    });
    check("DEPS_ENV_A", "b", &|s| {
        s.env_scan = vec![("A".into(), "b".into())]
    });
    check("REMOTE_ENV_A", "b", &|s| {
        s.env_set = vec![("A".into(), "b".into())]
    });
    check("REMOTE_PLATFORM_OSFamily", "linux", &|s| {
        s.platform = [pair("OSFamily", "linux")].into();
    });
    check("COMPILE_REMOTE_PLATFORM_a", "b", &|s| {
        s.platform_compile = [pair("a", "b")].into();
    });
    check("CORRELATED_INVOCATIONS_ID", "c", &|s| {
        s.correlated_invocations_id = Some("c".to_owned());
    });
    // They change the daemon, not the command.
    check("SERVER", "http://s", &|_| {});
    check("LOG_LEVEL", "debug", &|_| {});
}

#[test]
fn links_have_settings_of_their_own() {
    let plan = try_plan(&[
        ("LINK", "1"),
        ("LINK_CACHE_ONLY", "1"),
        ("LINK_REMOTE_PLATFORM_a", "b"),
    ]);
    let settings = plan.unwrap().settings;
    assert_eq!(settings.cache_only, [Kind::Link].into());
    assert_eq!(settings.platform_link, [pair("a", "b")].into());
    let plan = try_plan(&[("LINK_METRICS_ONLY", "1"), ("CACHE_ONLY", "1")]);
    assert!(plan.unwrap().settings.count_link_hits);
}

#[test]
fn contradictions_are_named() {
    let check = |variables: &[(&str, &str)], expected: &str| {
        assert_eq!(try_plan(variables).unwrap_err().to_string(), expected);
    };
    check(
        &[("LINK", "1"), ("LINK_METRICS_ONLY", "1"), ("CACHE_ONLY", "1")],
        "RECC_LINK and RECC_LINK_METRICS_ONLY exclude each other",
    );
    check(
        &[("LINK_METRICS_ONLY", "1")],
        "RECC_LINK_METRICS_ONLY needs RECC_CACHE_ONLY",
    );
    for variable in [("LINK_CACHE_ONLY", "1"), ("LINK_REMOTE_PLATFORM_a", "b")] {
        check(
            &[variable],
            "RECC_LINK_CACHE_ONLY and RECC_LINK_REMOTE_PLATFORM need RECC_LINK",
        );
    }
}

#[test]
fn warnings_are_for_those_who_ask() {
    let check = |variables: &[(&str, &str)], is_talkative: bool, expected: &[&str]| {
        let plan = try_plan(variables).unwrap();
        assert_eq!(plan.warnings, expected, "{variables:?}");
        assert_eq!(plan.is_talkative, is_talkative, "{variables:?}");
    };
    check(
        &[("LINK", "0"), ("RETRY_LIMIT", "3")],
        false,
        &[
            "RECC_LINK=0 is true, as everything is that is not empty",
            "RECC_RETRY_LIMIT has no effect: the daemon has its own bounds for calls and retries",
        ],
    );
    check(&[("VERBOSE", "1")], true, &[]);
    check(&[("LOG_LEVEL", "Warning")], true, &[]);
    check(&[("LOG_LEVEL", "error")], false, &[]);
    check(
        &[("METRICS_TAG_a", "b")],
        false,
        &["RECC_METRICS_TAG has no effect: the daemon counts for all commands together"],
    );
    check(
        &[("PROJECT_ROOT", "..")],
        false,
        &["RECC_PROJECT_ROOT is relative: it starts at the working directory"],
    );
    check(
        &[("PREFIX_MAP", "/a=b:c:/d=/e")],
        false,
        &[
            "RECC_PREFIX_MAP: \"/a=b\" is not two absolute paths with = between them",
            "RECC_PREFIX_MAP: \"c\" is not two absolute paths with = between them",
        ],
    );
    assert_eq!(
        try_plan(&[("PROJECT_ROOT", "..")]).unwrap().settings.project_root,
        Some("/home/me".into())
    );
}
