//! Text of anything: flags, lists, addresses and logs are read or refused, and never a panic.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use proptest::prelude::*;
use reclient::address::Address;
use reclient::flags::tables::{CONNECTION, LOGGING, REPROXY, REWRAPPER};
use reclient::flags::{Parsed, Surroundings, read};
use reclient::log_file::{Format, read_directories};
use reclient::rewrapper::ask;
use reclient::rsp;

fn words() -> impl Strategy<Value = Vec<OsString>> {
    let names: Vec<&str> = [LOGGING, REWRAPPER]
        .into_iter()
        .flatten()
        .map(|flag| flag.name)
        .collect();
    let value = prop_oneof![
        "[-+0-9a-z.=,µ]{0,8}".prop_map(OsString::from),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(OsString::from_vec),
    ];
    let word = (proptest::sample::select(names), value, any::<bool>()).prop_map(|(name, value, is_bare)| {
        let mut word = OsString::from(format!("-{name}"));
        if !is_bare {
            word.push("=");
        }
        word.push(value);
        word
    });
    proptest::collection::vec(word, 0..4)
}

proptest! {
    #[test]
    fn a_command_line_is_read_or_refused(words in words(), file in "(-{0,3}[a-z_]{0,9}[= ]?.{0,5}\n){0,4}") {
        let surroundings = Surroundings {
            variable: &|name| (name == "RBE_cfg").then(|| "file".into()),
            read_file: &|_| Ok::<_, io::Error>(file.clone()),
        };
        if let Ok(Parsed::Flags(flags, _)) = read(&[LOGGING, REWRAPPER], words, &surroundings) {
            let resolve = |path: &std::path::Path| path.to_owned();
            let _ = ask(&flags, "/src/out".as_ref(), &resolve);
        }
    }

    #[test]
    fn a_file_is_for_all_programs(file in "([a-z_]{1,9}=.{0,5}\n){0,6}") {
        let surroundings = Surroundings {
            variable: &|name| (name == "FLAG_cfg").then(|| "file".into()),
            read_file: &|_| Ok::<_, io::Error>(file.clone()),
        };
        let _ = read(&[LOGGING, CONNECTION, REPROXY], Vec::new(), &surroundings);
    }

    #[test]
    fn a_list_that_is_quoted_is_read_as_it_was(paths in proptest::collection::vec("[^\u{0}]{1,8}", 0..6)) {
        let quoted: Vec<String> = paths
            .iter()
            .map(|path| format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\"")))
            .collect();
        let expected: Vec<OsString> = paths.into_iter().map(OsString::from).collect();
        prop_assert_eq!(rsp::words(quoted.join("\n").as_bytes()), expected);
    }

    #[test]
    fn a_list_of_anything_is_read(text in proptest::collection::vec(any::<u8>(), 0..40)) {
        prop_assert!(rsp::words(&text).iter().all(|word| !word.is_empty()));
    }

    #[test]
    fn an_address_is_written_as_it_was_read(text in "(unix:(//)?)?[a-z/:.0-9\\[\\]]{0,16}") {
        if let Ok(address) = Address::parse(&text) {
            prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }
    }

    #[test]
    fn a_log_of_anything_is_read(text in "(command|args|[a-z: {}\"\n]){0,60}") {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("a.rpl"), text)?;
        let directories: [PathBuf; 1] = [directory.path().to_owned()];
        let _ = read_directories(&directories, Format::Text, &mut |_| {});
    }
}
