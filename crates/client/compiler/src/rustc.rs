//! `rustc`: one crate in, its products out.
//!
//! The crate's other files, and what its macros read, only rustc itself finds; its dep-info says afterwards. Names were
//! taken from rustc 1.95.

mod table;

use self::table::{CODEGEN, Codegen, LINK_ARGUMENTS, ROWS, Role, UNSTABLE};
use crate::environment;
use crate::invocation::path;
use crate::option::find;
use crate::{Caution, Invocation, Kind, Language, NotOurs, Processors, Step, Tool};

#[derive(Debug, Default)]
struct Crate {
    name: Option<String>,
    types: Vec<String>,
    emit: Vec<(String, Option<String>)>,
    out_dir: Option<String>,
    output: Option<String>,
    extra: String,
    test: bool,
    target: Option<String>,
    remaps: Vec<(String, String)>,
    probes: bool,
}

/// A command line of `rustc`.
pub(crate) fn parse(arguments: &[String], invocation: &Invocation) -> Result<Step, NotOurs> {
    let mut step = Step::new(Tool::Rustc, Kind::Compile);
    let mut krate = Crate::default();
    step.processors = Processors::Many;
    let mut operands: Vec<&str> = Vec::new();
    let mut rest = arguments;
    while let Some(first) = rest.first() {
        let mut words = 1;
        if first == "-" || !first.starts_with('-') {
            operands.push(first);
        } else {
            let found = find(&ROWS, rest)?.ok_or_else(|| NotOurs::UnknownOption {
                option: first.clone(),
            })?;
            words = found.words;
            krate.option(found.row.role, found.text(), &mut step)?;
        }
        rest = rest.get(words..).unwrap_or_default();
    }
    step.environment = environment::names(Tool::Rustc, true);
    step.stdin = operands.contains(&"-");
    if krate.probes {
        step.kind = Kind::Probe;
        step.processors = Processors::One;
        step.stdout = true;
        return Ok(step);
    }
    let [source] = operands.as_slice() else {
        return Err(NotOurs::NoInput);
    };
    if !step.stdin {
        step.sources.push(path(source));
    }
    step.language = Some(Language::Rust);
    step.caution
        .extend([Caution::InputsNameInputs, Caution::AnyVariable]);
    krate.products(source, &mut step)?;
    // Metadata of a library names the working directory, debug information as well.
    step.embeds_directory = !krate
        .remaps
        .iter()
        .any(|(old, _)| path(old) == invocation.cwd && old.starts_with('/'));
    step.path_maps = krate.remaps;
    Ok(step)
}

impl Crate {
    fn option(&mut self, role: Role, value: &str, step: &mut Step) -> Result<(), NotOurs> {
        match role {
            Role::Ignore | Role::Debug => {}
            Role::CrateName => self.name = Some(value.to_owned()),
            Role::CrateType => self.types.extend(value.split(',').map(str::to_owned)),
            Role::Emit => self
                .emit
                .extend(value.split(',').map(|each| match each.split_once('=') {
                    Some((kind, file)) => (kind.to_owned(), Some(file.to_owned())),
                    None => (each.to_owned(), None),
                })),
            Role::OutDir => self.out_dir = Some(value.to_owned()),
            Role::Output => self.output = Some(value.to_owned()),
            Role::Extern => {
                if let Some((_, file)) = value.split_once('=') {
                    step.inputs.push(path(file));
                    // A macro's library runs within the compiler.
                    if file.ends_with(".so") {
                        step.caution.push(Caution::Plugin);
                    }
                }
            }
            Role::Search => {
                let kinds = ["dependency=", "crate=", "native=", "framework=", "all="];
                let directory = kinds
                    .iter()
                    .find_map(|kind| value.strip_prefix(kind))
                    .unwrap_or(value);
                step.input_directories.push(path(directory));
            }
            Role::Target => {
                if value.ends_with(".json") {
                    step.inputs.push(path(value));
                }
                self.target = Some(value.to_owned());
            }
            Role::Codegen => self.codegen(value, step)?,
            Role::Unstable => {
                let name = value.split('=').next().unwrap_or_default().replace('_', "-");
                if !UNSTABLE.contains(&name.as_str()) {
                    return Err(NotOurs::unsupported(&format!("-Z{value}"), "an unstable option"));
                }
            }
            Role::Remap => {
                let (old, new) = value
                    .rsplit_once('=')
                    .ok_or_else(|| NotOurs::unsupported(value, "no `=` in what is mapped"))?;
                self.remaps.push((old.to_owned(), new.to_owned()));
            }
            Role::Test => self.test = true,
            // These two are said beside a compilation; all others instead of one.
            Role::Print if matches!(value, "native-static-libs" | "link-args") => {
                step.caution.push(Caution::Talkative)
            }
            Role::Print if value.contains('=') => {
                return Err(NotOurs::unsupported("--print", "an answer is written to a file"));
            }
            Role::Print | Role::Ask => self.probes = true,
            Role::Tree => step.caution.push(Caution::OtherTools),
            Role::Talk => step.caution.push(Caution::Talkative),
        }
        Ok(())
    }

    fn codegen(&mut self, option: &str, step: &mut Step) -> Result<(), NotOurs> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let name = name.replace('_', "-");
        let written = || format!("-C {option}");
        let Some((_, role)) = CODEGEN.iter().find(|(known, _)| *known == name) else {
            return Err(NotOurs::UnknownOption { option: written() });
        };
        match role {
            Codegen::Ignore | Codegen::Debuginfo => {}
            Codegen::ExtraFilename => value.clone_into(&mut self.extra),
            Codegen::Units if value == "1" => step.processors = Processors::One,
            Codegen::Units => {}
            Codegen::Cpu if value == "native" => step.caution.push(Caution::NativeArchitecture),
            Codegen::Cpu => {}
            Codegen::ProfileUse => {
                step.inputs.push(path(value));
                step.caution.push(Caution::Profile);
            }
            Codegen::Linker => step.caution.push(Caution::OtherTools),
            Codegen::LinkArguments => {
                let is_known = |word: &str| LINK_ARGUMENTS.iter().any(|known| word.starts_with(known));
                if !value.split(' ').all(is_known) {
                    return Err(NotOurs::unsupported(
                        &written(),
                        "the linker may read or write files by it",
                    ));
                }
            }
            Codegen::SplitDebuginfo if value == "off" => {}
            Codegen::SplitDebuginfo => {
                return Err(NotOurs::unsupported(
                    &written(),
                    "files beside, by names of rustc's own",
                ));
            }
            Codegen::Refuse(because) => return Err(NotOurs::unsupported(&written(), because)),
        }
        Ok(())
    }

    fn products(&self, source: &str, step: &mut Step) -> Result<(), NotOurs> {
        let is_foreign = |target: &String| {
            ["windows", "apple", "darwin", "wasm", "uefi", "emscripten"]
                .iter()
                .any(|word| target.contains(word))
        };
        if self.target.as_ref().is_some_and(is_foreign) {
            return Err(NotOurs::unsupported(
                "--target",
                "products have other names there",
            ));
        }
        let link = [("link".to_owned(), None)];
        let emit = if self.emit.is_empty() {
            &link[..]
        } else {
            &self.emit
        };
        if self.output.is_some() && emit.len() > 1 && emit.iter().any(|(_, file)| file.is_none()) {
            return Err(NotOurs::Contradiction {
                because: "one name for several products",
            });
        }
        // Attributes in the source may say what the command line does not.
        let stem = source
            .rsplit('/')
            .next()
            .and_then(|base| base.split('.').next())
            .unwrap_or_default();
        let (name, certain) = match &self.name {
            Some(name) => (name.clone(), true),
            None if source == "-" => ("rust_out".to_owned(), false),
            None => (stem.replace('-', "_"), false),
        };
        if !certain && self.output.is_none() {
            step.caution.push(Caution::UncertainNames);
        }
        let base = format!("{name}{}", self.extra);
        let directory = self
            .out_dir
            .as_deref()
            .map(|directory| format!("{directory}/"))
            .unwrap_or_default();
        for (kind, file) in emit {
            let plain = |ending: &str| vec![format!("{directory}{base}.{ending}")];
            let names = match kind.as_str() {
                "link" => self.linked(&directory, &base, step),
                "metadata" => vec![format!("{directory}lib{base}.rmeta")],
                "dep-info" => plain("d"),
                "obj" => plain("o"),
                "asm" => plain("s"),
                "llvm-ir" => plain("ll"),
                "llvm-bc" => plain("bc"),
                "mir" => plain("mir"),
                _ => {
                    return Err(NotOurs::unsupported(
                        &format!("--emit={kind}"),
                        "a product without a known name",
                    ));
                }
            };
            let said = file.as_ref().or(self.output.as_ref());
            let (names, required) = match said {
                Some(said) => (vec![said.clone()], true),
                None => {
                    let certain = certain && (kind != "link" || self.test || !self.types.is_empty());
                    (names, certain)
                }
            };
            for name in &names {
                if name == "-" {
                    step.stdout = true;
                } else {
                    step.writes(name, required);
                }
            }
            if kind == "dep-info" {
                step.depfile = names
                    .first()
                    .filter(|name| *name != "-" && !name.starts_with("/dev"))
                    .map(|name| path(name));
            }
        }
        Ok(())
    }

    fn linked(&self, directory: &str, base: &str, step: &mut Step) -> Vec<String> {
        let program = format!("{directory}{base}");
        if self.test {
            step.caution.push(Caution::OtherTools);
            return vec![program];
        }
        if self.types.is_empty() {
            step.caution
                .extend([Caution::OtherTools, Caution::UncertainNames]);
            return vec![
                program,
                format!("{directory}lib{base}.rlib"),
                format!("{directory}lib{base}.so"),
            ];
        }
        let mut names = Vec::new();
        for kind in &self.types {
            let (name, is_linked) = match kind.as_str() {
                "lib" | "rlib" => (format!("{directory}lib{base}.rlib"), false),
                "staticlib" => (format!("{directory}lib{base}.a"), false),
                "bin" => (program.clone(), true),
                _ => (format!("{directory}lib{base}.so"), true),
            };
            // The system's linker runs, with libraries that no argument names.
            if is_linked {
                step.caution.push(Caution::OtherTools);
            }
            names.push(name);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_once() {
        crate::option::assert_no_duplicates(&ROWS);
        let mut names: Vec<&str> = CODEGEN.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
