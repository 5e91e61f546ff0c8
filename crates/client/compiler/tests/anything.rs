//! Whatever the words are, reading them ends without a panic, and what comes out holds together.

mod support;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use compiler::{Invocation, NoResponseFiles, Parsed, parse};
use proptest::prelude::*;
use support::{CWD, Held};

const TOOLS: &str = "(gcc|g\\+\\+|clang|clang\\+\\+|as|ld|ld.lld|ar|ranlib|objcopy|strip|nm|rustc|javac|d8|r8|metalava|tsc|\
                     clang-tidy|header-abi-dumper|arm-none-eabi-gcc-12)";

/// Words that mean something, cut and glued.
const WORDS: &str = "(-c|-S|-E|-o|-o -|-x|c|c\\+\\+|-M|-MD|-MF|-MMD|-Wp,|-Wp,-MD,x|-Wa,|-Wa,-a=x|-Wl,|-Wl,-Map,x|-Xclang|\
    -Xlinker|-I|-Ia|-D|-DX=1|-include|a\\.c|b\\.cc|s\\.s|t\\.S|h\\.h|a\\.o|l\\.a|d/x\\.o|-|--|@|@x|/dev/null|/dev/stdin|\
    -g|-g0|-gsplit-dwarf|--coverage|-save-temps|-save-temps=obj|-flto|-flto=4|-flto=x|-fplugin=|-fplugin=./x|-fopt-info|\
    -fopt-info-vec=x|-ftime-trace|-ftime-trace=|-ffile-prefix-map=|-ffile-prefix-map=a=b|-iprefix|-iwithprefix|--|=|,|\
    rcs|cDPrST|-T|-l|-lx|-L|--version-script|--pop-state|--push-state|-plugin|-plugin-opt|-p|--dump-section|.x=y|\
    --emit|--emit=link,dep-info=x|--crate-name|x|--crate-type=lib|--out-dir|--extern|a=b|-C|opt-level=3|-d|-cp|a:b|--output|\
    --outDir|--config-file|-export-fixes|[a-zé=,/.@:-]{0,6})";

fn holds_together(argv: &[OsString]) {
    let rsp = Held(
        [
            ("x".to_owned(), "-c a.c @y".to_owned()),
            ("y".to_owned(), "@x".to_owned()),
        ]
        .into(),
    );
    for variable in [None, Some(OsString::from("x"))] {
        let env = |name: &str| variable.clone().filter(|_| name == "PWD" || name == "CLASSPATH");
        let invocation = Invocation {
            argv,
            cwd: Path::new(CWD),
            env: &env,
        };
        for parsed in [parse(&invocation, &rsp), parse(&invocation, &NoResponseFiles)] {
            match parsed {
                Parsed::NotOurs(not_ours) => assert!(!not_ours.to_string().is_empty()),
                Parsed::Step(step) => {
                    let is_output = |path: &Path| step.outputs.iter().any(|output| output.path == path);
                    assert!(step.depfile.as_deref().is_none_or(is_output), "{step:?}");
                    assert!(step.outputs.iter().all(|output| !output.path.starts_with("/dev")));
                    assert!(
                        step.outputs
                            .iter()
                            .all(|output| !output.path.as_os_str().is_empty())
                    );
                    assert!(step.absolute_paths.is_sorted() && step.caution.is_sorted());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn words_that_mean_something(tool in TOOLS, words in prop::collection::vec(WORDS, 0..14)) {
        let argv: Vec<OsString> = std::iter::once(tool).chain(words).map(OsString::from).collect();
        holds_together(&argv);
    }

    #[test]
    fn any_bytes(tool in TOOLS, words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..6)) {
        let words = words.into_iter().map(OsString::from_vec);
        let argv: Vec<OsString> = std::iter::once(OsString::from(tool)).chain(words).collect();
        holds_together(&argv);
    }

    #[test]
    fn options_of_the_tables_cut_anywhere(tool in TOOLS, text in "-{1,2}[a-zA-Z]{1,12}[=,]?[a-z./]{0,5}", more in WORDS) {
        holds_together(&[tool.into(), text.into(), more.into()]);
    }

    #[test]
    fn any_file_name_of_a_tool(name in ".{0,20}") {
        // A directory before it is no part of a name.
        let tool = compiler::is_tool_name(&name);
        prop_assert!(tool.is_none() || !name.contains('/'), "{name}: {tool:?}");
    }
}

#[test]
fn nothing_at_all() {
    holds_together(&[]);
    holds_together(&[OsString::new()]);
    holds_together(&[OsString::from("/")]);
    holds_together(&[OsString::from_vec(vec![0xff])]);
}
