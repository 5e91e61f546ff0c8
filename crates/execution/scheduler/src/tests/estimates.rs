//! How long it will take, going by the past.

use super::farm::*;

#[test]
fn the_estimate_counts_what_is_ahead_and_is_not_made_up() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 1);
    farm.execute("first", command_of("cc", "1", LINUX));
    farm.execute("unknown", command_of("cc", "2", LINUX));
    assert_eq!(farm.view("unknown").estimate, None, "nobody knows");
    farm.finish("w", 1, 10);
    farm.execute("a", command_of("cc", "3", LINUX));
    farm.execute("b", command_of("cc", "4", LINUX));
    farm.execute("c", command_of("cc", "5", LINUX));
    // Half of what runs, and what is before.
    assert_eq!(farm.view("a").estimate, Some(seconds(5)));
    assert_eq!(farm.view("c").estimate, Some(seconds(25)));
    farm.sync("other", LINUX, 1);
    assert_eq!(farm.view("c").estimate, Some(seconds(10)), "two share the rest");
    farm.execute("new", command_of("ld", "6", LINUX));
    assert_eq!(farm.view("new").estimate, None);
}

#[test]
fn what_has_another_size_or_platform_takes_time_too() {
    let mut farm = Farm::new();
    farm.sync("w", LINUX, 2);
    const WIDE: &[(&str, &str)] = &[("cpus", "2")];
    for (operation, platform) in [("narrow", LINUX), ("wide", WIDE)] {
        farm.execute(operation, command_of("cc", "1", platform));
        farm.finish("w", 2, 10);
    }
    farm.execute("running", command_of("cc", "2", WIDE));
    for number in 3..=4 {
        farm.execute(
            &format!("wide {number}"),
            command_of("cc", &number.to_string(), WIDE),
        );
    }
    farm.execute("narrow 1", command_of("cc", "5", LINUX));
    farm.execute("narrow 2", command_of("cc", "6", LINUX));
    // Half of what runs, and both of those that run one at a time; the other runs beside it.
    assert_eq!(farm.view("narrow 1").estimate, Some(seconds(5 + 20)));
    assert_eq!(farm.view("narrow 2").estimate, Some(seconds(5 + 20 + 5)));
}
