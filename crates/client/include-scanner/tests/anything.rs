//! Nothing that a file contains makes the scanner panic or run on, and what it says does not depend on the run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use include_scanner::{
    Answers, Closure, CommandLineMacro, Dialect, Family, File, Identity, Language, Macros, SearchPath,
    Source, SourceView, Unit, Unreadable, Unsure, scan,
};

struct Memory(HashMap<PathBuf, Arc<File>>);

impl SourceView for Memory {
    fn file(&self, path: &Path) -> Result<Option<Arc<File>>, Unreadable> {
        Ok(self.0.get(path).cloned())
    }

    fn exists(&self, path: &Path) -> Result<bool, Unreadable> {
        Ok(self.0.contains_key(path))
    }
}

fn memory(files: &[(&str, &[u8])]) -> Memory {
    let file = |(index, (path, text)): (usize, &(&str, &[u8]))| {
        let path = PathBuf::from(path);
        let file = Arc::new(File {
            path: path.clone(),
            source: Arc::new(Source::parse(text)),
            identity: Identity {
                device: 1,
                inode: index as u64,
                size_bytes: text.len() as u64,
                modified_s: 0,
            },
        });
        (path, file)
    };
    Memory(files.iter().enumerate().map(file).collect())
}

fn scan_memory(view: &Memory, family: Family, language: Language) -> Result<Closure, Unsure> {
    let dialect = Dialect {
        family,
        raw_strings: true,
        trigraphs: family == Family::Clang,
        digraphs: true,
        line_comments: true,
        modules: true,
        operators: [
            "__has_include",
            "__has_include_next",
            "__has_attribute",
            "__has_embed",
        ]
        .map(Box::from)
        .into(),
    };
    let predefined = Arc::new(Macros::parse(b"#define __GNUC__ 12\n#define __CHAR_BIT__ 8\n"));
    let cwd = Path::new("/w");
    let search = SearchPath::new(cwd, family, &[], &["i".into(), "j".into()]);
    scan(
        &Unit {
            main: Path::new("m.c"),
            cwd,
            language,
            dialect: &dialect,
            predefined: &predefined,
            answers: &Answers::default(),
            command_line: &[CommandLineMacro::Define(b"D(x)=x##x".to_vec())],
            imacros: &[],
            implicit: &[],
            includes: &[],
            search: &search,
            assembler_search: &[],
        },
        view,
    )
}

const PIECES: &[&str] = &[
    "#if ",
    "#ifdef ",
    "#ifndef ",
    "#elif ",
    "#else\n",
    "#endif\n",
    "#define ",
    "#undef ",
    "#include ",
    "#include_next ",
    "#import ",
    "#embed ",
    "#pragma once\n",
    "#pragma push_macro(\"A\")\n",
    "#pragma pop_macro(\"A\")\n",
    "#pragma GCC target(\"x\")\n",
    "\n",
    "\n",
    "\n",
    "\\\n",
    "A",
    "B",
    "A(",
    "B(x, ...)",
    "x",
    "(",
    ")",
    ",",
    "##",
    "#",
    "__VA_ARGS__",
    "__VA_OPT__(",
    "defined",
    "__has_include(",
    "__has_attribute(",
    "<a.h>",
    "\"a.h\"",
    "\"b.h\"",
    "<",
    ">",
    "\"",
    "'",
    "/*",
    "*/",
    "//",
    "R\"x(",
    ")x\"",
    "1",
    "0x",
    "/",
    "%",
    "<<",
    "?",
    ":",
    "??/",
    "??=",
    "%:",
    "asm(\".incbin \\\"q\\\"\")",
    "_Pragma(\"once\")",
    "__FILE__",
    "__LINE__",
    "\r\n",
    "\u{e9}",
    " ",
];

#[test]
fn random_sources_do_no_harm() {
    let mut seed = 11u64;
    let mut random = |bound: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    let mut sure = 0;
    for round in 0..6_000 {
        let mut texts = Vec::new();
        for _ in 0..3 {
            let mut text = String::new();
            for _ in 0..random(40) {
                text.push_str(PIECES[random(PIECES.len())]);
                if random(4) == 0 {
                    text.push(' ');
                }
            }
            let mut bytes = text.into_bytes();
            if random(8) == 0 && !bytes.is_empty() {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            texts.push(bytes);
        }
        let files = [
            ("/w/m.c", texts[0].as_slice()),
            ("/w/i/a.h", texts[1].as_slice()),
            ("/w/b.h", texts[2].as_slice()),
        ];
        let family = if round % 2 == 0 {
            Family::Gcc
        } else {
            Family::Clang
        };
        let language = [Language::C, Language::Cxx, Language::AssemblerWithCpp][round % 3];
        let first = scan_memory(&memory(&files), family, language);
        let second = scan_memory(&memory(&files), family, language);
        match (first, second) {
            (Ok(first), Ok(second)) => {
                assert_eq!(first.files.len(), second.files.len());
                sure += 1;
            }
            (Err(first), Err(second)) => assert_eq!(first, second),
            _ => panic!("one run is sure, the other is not: {files:?}"),
        }
    }
    assert!(sure > 300, "{sure}");
}

#[test]
fn what_would_never_end_is_ended() {
    let unsure = |text: &str| {
        scan_memory(&memory(&[("/w/m.c", text.as_bytes())]), Family::Gcc, Language::C).unwrap_err()
    };
    assert!(matches!(unsure("#include \"m.c\"\n"), Unsure::TooMuch(_)));
    let doubling: String = (0..60)
        .map(|number| format!("#define A{} A{number} A{number}\n", number + 1))
        .collect();
    let text = format!("{doubling}#if A60\n#define X\n#endif\n");
    assert!(matches!(unsure(&text), Unsure::TooMuch(_)), "{:?}", unsure(&text));
    let deep = format!(
        "#if {}1{}\n#define X\n#endif\n",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    assert!(matches!(unsure(&deep), Unsure::TooMuch(_)));
    let arguments = format!(
        "#define F(x) x\n#if {}1{}\n#define X\n#endif\n",
        "F(".repeat(5000),
        ")".repeat(5000)
    );
    assert!(
        matches!(unsure(&arguments), Unsure::TooMuch(_)),
        "{:?}",
        unsure(&arguments)
    );
    let conditionals = "#if 1\n".repeat(50_000) + &"#endif\n".repeat(50_000);
    assert!(matches!(unsure(&conditionals), Unsure::Unbalanced(_)));
}
