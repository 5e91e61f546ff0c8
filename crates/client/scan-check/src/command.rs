//! A recorded command of a compiler, as far as scanning it needs.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use include_scanner::{CommandLineMacro, Language};
use toolchain::{UserDirectory, directory_argument, matters_for_facts};

/// One command that compiles one source.
#[derive(Clone, Debug)]
pub struct Command {
    /// Where it runs.
    pub cwd: PathBuf,
    /// The compiler.
    pub driver: PathBuf,
    /// Its source, as written.
    pub main: PathBuf,
    /// What that is taken for.
    pub language: Language,
    /// Options that matter for facts.
    pub for_facts: Vec<OsString>,
    /// `-I` and its kin.
    pub directories: Vec<UserDirectory>,
    /// `-D` and `-U`.
    pub macros: Vec<CommandLineMacro>,
    /// `-imacros`
    pub imacros: Vec<PathBuf>,
    /// `-include`
    pub includes: Vec<PathBuf>,
    /// Everything but output and dependency options, for `-M`.
    pub for_dependencies: Vec<OsString>,
}

/// Options whose value is the next word.
const WITH_VALUE: [&str; 12] = [
    "-x",
    "-isysroot",
    "--sysroot",
    "-B",
    "-T",
    "-Xlinker",
    "-Xassembler",
    "-Xpreprocessor",
    "-u",
    "-z",
    "-target",
    "--param",
];

impl Command {
    /// Reads a command; None if it does not compile exactly one source.
    pub fn read(cwd: PathBuf, words: &[OsString]) -> Option<Command> {
        let (driver, words) = words.split_first()?;
        let mut command = Command {
            cwd,
            driver: PathBuf::from(driver),
            main: PathBuf::new(),
            language: Language::C,
            for_facts: Vec::new(),
            directories: Vec::new(),
            macros: Vec::new(),
            imacros: Vec::new(),
            includes: Vec::new(),
            for_dependencies: Vec::new(),
        };
        let mut sources = Vec::new();
        let mut explicit = None;
        let mut compiles = false;
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let next = words.get(at + 1);
            let text = word.to_string_lossy();
            at += 1;
            let mut kept = vec![word.clone()];
            let mut take = || {
                at += 1;
                next.cloned()
            };
            match text.as_ref() {
                "-c" | "-S" => {
                    compiles = true;
                    continue;
                }
                "-E" | "-M" | "-MM" | "-" => return None,
                "-o" | "-MF" | "-MT" | "-MQ" => {
                    take()?;
                    continue;
                }
                "-MD" | "-MMD" | "-MP" => continue,
                "-include" | "-imacros" => {
                    let value = take()?;
                    kept.push(value.clone());
                    match text.as_ref() {
                        "-include" => command.includes.push(value.into()),
                        _ => command.imacros.push(value.into()),
                    }
                }
                "-D" | "-U" => {
                    let value = take()?;
                    kept.push(value.clone());
                    command.push_macro(&text[..2], &value);
                }
                "-x" => {
                    let value = take()?;
                    explicit = Some(language(&value.to_string_lossy())?);
                    kept.push(value);
                }
                _ if text.starts_with("-Wp,-MD") || text.starts_with("-Wp,-MMD") => continue,
                _ if text.starts_with('@') => return None,
                _ if text.starts_with("-D") || text.starts_with("-U") => {
                    use std::os::unix::ffi::OsStrExt;
                    command.push_macro(&text[..2], OsStr::from_bytes(&word.as_bytes()[2..]));
                }
                _ if !text.starts_with('-') => {
                    sources.push(word.clone());
                    continue;
                }
                _ => {
                    if let Some((directory, took_next)) = directory_argument(word, next) {
                        command.directories.push(directory);
                        if took_next {
                            kept.push(take()?);
                        }
                    } else {
                        if WITH_VALUE.contains(&text.as_ref()) {
                            kept.push(take()?);
                        }
                        if matters_for_facts(word) {
                            command.for_facts.extend(kept.iter().cloned());
                        }
                    }
                }
            }
            command.for_dependencies.extend(kept);
        }
        let [source] = sources.as_slice() else { return None };
        command.main = PathBuf::from(source);
        command.language = match explicit {
            Some(language) => language,
            None => by_name(&command.main, driver)?,
        };
        compiles.then_some(command)
    }

    fn push_macro(&mut self, option: &str, value: &OsStr) {
        use std::os::unix::ffi::OsStrExt;
        let value = value.as_bytes().to_vec();
        self.macros.push(match option {
            "-D" => CommandLineMacro::Define(value),
            _ => CommandLineMacro::Undefine(value),
        });
    }
}

fn language(name: &str) -> Option<Language> {
    Some(match name {
        "c" => Language::C,
        "c++" => Language::Cxx,
        "objective-c" => Language::ObjC,
        "objective-c++" => Language::ObjCxx,
        "assembler-with-cpp" => Language::AssemblerWithCpp,
        _ => return None,
    })
}

fn by_name(main: &std::path::Path, driver: &OsStr) -> Option<Language> {
    let is_cxx = driver.to_string_lossy().ends_with("++");
    Some(match main.extension()?.to_str()? {
        "c" if is_cxx => Language::Cxx,
        "c" => Language::C,
        "cc" | "cpp" | "cxx" | "C" => Language::Cxx,
        "S" => Language::AssemblerWithCpp,
        _ => return None,
    })
}
