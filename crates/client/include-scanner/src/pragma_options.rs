//! `#pragma GCC target` and `#pragma GCC optimize` change the compiler's own macros when it really compiles, though not
//! always when it only preprocesses. What they may have changed is not known here, and said to be so.

use crate::limits::PUSHED_MACROS_MAX;
use crate::pragma::word;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changed {
    target: bool,
    optimize: bool,
}

/// What pragmas may have changed, with what `push_options` saved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    now: Changed,
    saved: Vec<Changed>,
}

/// Beginnings of names that no target option changes.
const TARGET_KEEPS: [&str; 33] = [
    "__GNUC",
    "__GNUG",
    "__clang",
    "__cplusplus",
    "__STDC",
    "__OPTIMIZE",
    "__x86_64",
    "__i386",
    "__LP64",
    "__ILP32",
    "__SIZEOF_",
    "__INT",
    "__UINT",
    "__CHAR",
    "__BYTE_ORDER",
    "__ORDER_",
    "__linux",
    "__unix",
    "__ELF",
    "__has_",
    "__EXCEPTIONS",
    "__GXX_",
    "__DEPRECATED",
    "__VERSION",
    "__PIC",
    "__pic",
    "__PIE",
    "__pie",
    "__OBJC",
    "__cpp_",
    "__WCHAR",
    "__ASSEMBLER",
    "__DISABLE_",
];

/// Parts of names that an optimization option changes.
const OPTIMIZE_CHANGES: [&str; 7] = ["OPTIMIZE", "MATH", "INLINE", "SNAN", "NANS", "IEC_559", "ZERO"];

impl Options {
    pub(crate) fn are_default(&self) -> bool {
        self.now == Changed::default()
    }

    /// Takes in `GCC ...`. None: more is pushed than this keeps.
    pub(crate) fn pragma(&mut self, text: &[u8]) -> Option<()> {
        let (_, rest) = word(text);
        match word(rest).0 {
            b"target" => self.now.target = true,
            b"optimize" => self.now.optimize = true,
            b"reset_options" => self.now = Changed::default(),
            b"push_options" if self.saved.len() >= PUSHED_MACROS_MAX => return None,
            b"push_options" => self.saved.push(self.now),
            b"pop_options" => {
                if let Some(saved) = self.saved.pop() {
                    self.now = saved;
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Whether a macro of the compiler's own, or an undefined one, may be another now.
    pub(crate) fn may_change(&self, name: &[u8]) -> bool {
        let Ok(name) = std::str::from_utf8(name) else {
            return false;
        };
        // Every macro that depends on options is spelled `__NAME__`, but for a few of the targets' own like `__SSE2`.
        if !name.starts_with("__") {
            return false;
        }
        let by_target = self.now.target && !TARGET_KEEPS.iter().any(|keeps| name.starts_with(keeps));
        let by_optimize = self.now.optimize && OPTIMIZE_CHANGES.iter().any(|part| name.contains(part));
        by_target || by_optimize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_back_when_popped() {
        let mut options = Options::default();
        for (text, changes) in [
            ("GCC push_options", false),
            ("GCC target(\"avx2\")", true),
            ("GCC push_options", true),
            ("GCC reset_options", false),
            ("GCC pop_options", true),
            ("GCC pop_options", false),
            ("GCC pop_options", false),
        ] {
            options.pragma(text.as_bytes()).unwrap();
            assert_eq!(options.may_change(b"__AVX2__"), changes, "{text}");
            assert!(!options.may_change(b"__GNUC__") && !options.may_change(b"CONFIG_X"));
        }
    }
}
