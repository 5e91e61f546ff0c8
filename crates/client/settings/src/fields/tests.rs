use std::os::unix::ffi::OsStringExt;

use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn nothing_asked_is_nothing_sent() {
    assert_eq!(Settings::default().to_pairs(), []);
    assert_eq!(Settings::from_pairs(&[]), Ok(Settings::default()));
}

#[test]
fn every_kind_of_field_travels() {
    let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let settings = Settings {
        dialect: Dialect::Recc,
        command_id: Some(String::new()),
        labels: map("type", "a=b"),
        exec_root: Some(OsString::from_vec(vec![b'/', 0xff]).into()),
        prefix_map: vec![("/a".into(), "/b=c".into()), ("/c".into(), "/d".into())],
        strategy: Some(Strategy::RemoteLocalFallback),
        cache_only: BTreeSet::from([Kind::Compile, Kind::Link]),
        exec_timeout: Some(Duration::from_millis(1500)),
        env_allow: Some(Vec::new()),
        env_set: vec![("A".into(), "".into())],
        inputs: vec!["a b".into(), "a b".into()],
        virtual_inputs: vec![VirtualInput {
            path: "v".into(),
            digest: "h/1".to_owned(),
            ..VirtualInput::default()
        }],
        output_files_override: Some(vec!["o".into()]),
        accept_cache: Some(false),
        local_wrapper: vec!["nice".into(), "".into()],
        compare: true,
        local_reruns: 2,
        ..Settings::default()
    };
    assert_eq!(Settings::from_pairs(&settings.to_pairs()), Ok(settings));
}

#[test]
fn pairs_are_as_documented() {
    let settings = Settings {
        strategy: Some(Strategy::Local),
        exec_timeout: Some(Duration::from_secs(1)),
        platform: BTreeMap::from([("OSFamily".to_owned(), "linux".to_owned())]),
        output_files: vec!["a.o".into(), "a.d".into()],
        ..Settings::default()
    };
    let expected = pairs(&[
        ("strategy", "local"),
        ("exec_timeout", "1000"),
        ("platform", "OSFamily=linux"),
        ("output_files", "a.o"),
        ("output_files", "a.d"),
    ]);
    assert_eq!(settings.to_pairs(), expected);
}

#[test]
fn what_is_not_known_is_named() {
    let check = |given: &[(&str, &str)], expected: &str| {
        let error = Settings::from_pairs(&pairs(given)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        &[("strategy", "local"), ("speed", "9")],
        "the setting `speed` is not known to this version",
    );
    let bad = [
        ("strategy", "lerc"),
        ("compare", "1"),
        ("local_reruns", "-1"),
        ("exec_timeout", "1s"),
        ("platform", "OSFamily"),
        ("inputs", ""),
        ("virtual_inputs", "x"),
        ("prefix_map", "/a"),
    ];
    for (name, value) in bad {
        let expected = format!("the setting `{name}` cannot be `{value}`, or was given twice");
        check(&[(name, value)], &expected);
    }
    let twice = [
        ("strategy", "local"),
        ("compare", "true"),
        ("local_reruns", "1"),
        ("platform", "a=b"),
    ];
    for (name, value) in twice {
        let expected = format!("the setting `{name}` cannot be `{value}`, or was given twice");
        check(&[(name, value), (name, value)], &expected);
    }
}

#[test]
fn names_are_unique() {
    let unique: BTreeSet<_> = Settings::NAMES.iter().collect();
    assert_eq!(unique.len(), Settings::NAMES.len());
}

#[test]
fn what_goes_beyond_is_named() {
    let settings = Settings {
        strategy: Some(Strategy::Local),
        uncacheable: true,
        salt: Some("x".to_owned()),
        ..Settings::default()
    };
    assert_eq!(settings.first_beyond(&["strategy", "salt"]), Some("uncacheable"));
    assert_eq!(settings.first_beyond(&["strategy", "salt", "uncacheable"]), None);
    assert_eq!(Settings::default().first_beyond(&[]), None);
}
