//! Variables of anything: they come to a plan or to a complaint, and never to a panic.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use proptest::prelude::*;
use recc::{Kind, Surroundings, VARIABLES, daemon_arguments, plan, read};
use settings::Settings;

fn value() -> impl Strategy<Value = OsString> {
    prop_oneof![
        "[/a=:,\\\\ ]{0,10}".prop_map(OsString::from),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(OsString::from_vec),
    ]
}

fn variable() -> impl Strategy<Value = (OsString, OsString)> {
    let name = proptest::sample::select(VARIABLES).prop_map(|variable| match variable.kind {
        Kind::Map => format!("RECC_{}_key", variable.name),
        _ => format!("RECC_{}", variable.name),
    });
    (name, value()).prop_map(|(name, value)| (name.into(), value))
}

proptest! {
    #[test]
    fn variables_come_to_a_plan_or_a_complaint(
        environment in proptest::collection::vec(variable(), 0..6),
        file in "([a-zA-Z_é]{0,12}=?.{0,6}\n){0,6}",
    ) {
        let said = read(&[file], &environment);
        let surroundings = Surroundings { directory: Path::new("/work"), environment: &environment };
        if let Ok(plan) = plan(&said, &surroundings) {
            let travelled = Settings::from_pairs(&plan.settings.to_pairs());
            prop_assert_eq!(travelled.as_ref(), Ok(&plan.settings));
            prop_assert!(plan.settings.project_root.is_some_and(|root| root.is_absolute()));
            // A complaint is as good.
            let _ = daemon_arguments(&plan.server);
        }
    }
}
