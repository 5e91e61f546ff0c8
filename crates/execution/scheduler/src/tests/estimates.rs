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
