//! Pairs of anything: they are settings that travel unchanged, or an error, and never a panic.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;
use settings::Settings;

fn value() -> impl Strategy<Value = OsString> {
    prop_oneof![
        prop_oneof![
            "true",
            "false",
            "local",
            "racing",
            "recc",
            "compile",
            "0",
            "7",
            "a=b",
            "=",
            "",
            "h/1 - - p"
        ]
        .prop_map(OsString::from),
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(OsString::from_vec),
    ]
}

fn pair() -> impl Strategy<Value = (OsString, OsString)> {
    let name = proptest::sample::select(Settings::NAMES);
    (name, value()).prop_map(|(name, value)| (name.into(), value))
}

proptest! {
    #[test]
    fn what_is_taken_travels(pairs in proptest::collection::vec(pair(), 0..8)) {
        if let Ok(settings) = Settings::from_pairs(&pairs) {
            let again = Settings::from_pairs(&settings.to_pairs());
            prop_assert_eq!(again, Ok(settings));
        }
    }

    #[test]
    fn one_pair_is_taken_or_refused(name in "[a-z_]{0,20}", value in value()) {
        let known = Settings::NAMES.contains(&name.as_str());
        let taken = Settings::from_pairs(&[(name.into(), value)]);
        prop_assert!(known || taken.is_err());
    }
}
