//! One line of a scenario's table: a figure of farrier, the same of buildbox-casd, and the aim.

use crate::report::{head, median, row};

/// What a figure has to be.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// Shown for comparison only.
    None,
}

/// Prints the head of the table.
pub(crate) fn figures() {
    head(&["figure", "farrier", "casd", "ratio", "aim", ""]);
}

/// Prints the medians of what was measured in the rounds; no values mean "not measured".
pub(crate) fn figure(name: &str, farrier: &[f64], casd: &[f64], aim: Aim) {
    let (farrier, casd) = (median(farrier.to_vec()), median(casd.to_vec()));
    let (aim, met) = match aim {
        Aim::AtLeast(bound) => (format!("≥ {}", number(bound)), verdict(farrier >= bound)),
        Aim::AtMost(bound) => (format!("≤ {}", number(bound)), verdict(farrier <= bound)),
        Aim::None => (String::new(), ""),
    };
    row(&[
        name.to_owned(),
        number(farrier),
        number(casd),
        number(farrier / casd),
        aim,
        met.to_owned(),
    ]);
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "not met" }
}

/// Three digits that count, or all before the point.
fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
