//! Which steps are kept at all. A table of cases, nothing else.

use compiler::{Caution, Kind, NotOurs, Step, Tool};

use super::why::Why;

/// Says why a step is not kept, if it is not. `has_input`: its standard input is known.
pub(crate) fn check(step: &Step, has_input: bool) -> Result<(), Why> {
    if !is_kept(step.kind) || !is_known(step.tool) {
        return Err(Why::Kind(step.kind));
    }
    if let Some(caution) = step
        .caution
        .iter()
        .copied()
        .find(|caution| forbids(*caution, step.kind))
    {
        return Err(Why::Caution(caution));
    }
    if step.stdin && !has_input {
        return Err(Why::Input);
    }
    if !step.input_directories.is_empty() {
        return Err(Why::Inputs("it reads whole directories".to_owned()));
    }
    Ok(())
}

/// Whether a front end may say what a step reads and makes, where it says that it does. Not of compilers: what they read is found
/// out, and a header that somebody forgot to name would be a wrong result one day. And not of what changes a file that is
/// there.
pub(super) fn may_be_declared(parsed: &Result<Step, Why>) -> bool {
    match parsed {
        Err(Why::NotOurs(NotOurs::UnknownTool { .. })) => true,
        Ok(step) => {
            let is_changed = |caution: &Caution| matches!(caution, Caution::InPlace | Caution::Updates);
            let is_kind = matches!(
                step.kind,
                Kind::Archive | Kind::Index | Kind::Transform | Kind::Generate
            );
            is_kind && !step.caution.iter().any(is_changed)
        }
        Err(_) => false,
    }
}

/// Why nothing that this machine makes of a command is kept, though a worker's result is: here it can read more than its action
/// has. `is_local`: whoever wants it says that it is to run here and nowhere else. `is_whole`: nothing that is declared is passed over.
pub(super) fn not_kept_here(
    is_excluded: bool,
    is_declared: bool,
    is_local: bool,
    is_whole: bool,
) -> Option<&'static str> {
    match (is_excluded, is_declared) {
        (true, _) => Some("what it reads was to be left out"),
        (false, true) if !is_local => Some("it is known by what is declared, and ran where more is"),
        (false, true) if !is_whole => Some("a directory outside of the tree is declared"),
        (false, _) => None,
    }
}

/// Tools of which it is known what they are made of and what they read.
fn is_known(tool: Tool) -> bool {
    matches!(tool, Tool::GccDriver | Tool::ClangDriver | Tool::Ld | Tool::Nm)
}

fn is_kept(kind: Kind) -> bool {
    match kind {
        Kind::Compile
        | Kind::Assemble
        | Kind::CompileToAssembly
        | Kind::Preprocess
        | Kind::Dependencies
        | Kind::SyntaxOnly
        | Kind::Link
        | Kind::List => true,
        // They are over before anybody has asked, or change what is there already.
        Kind::Archive
        | Kind::Index
        | Kind::Transform
        | Kind::Generate
        | Kind::PrecompileHeader
        | Kind::Probe => false,
    }
}

fn forbids(caution: Caution, kind: Kind) -> bool {
    match caution {
        Caution::NativeArchitecture
        | Caution::Plugin
        | Caution::Profile
        | Caution::TimeTrace
        | Caution::PrecompiledHeader
        | Caution::Modules
        | Caution::OtherTools
        | Caution::Talkative
        | Caution::Overlay
        | Caution::AnyVariable
        | Caution::Timestamps
        | Caution::InPlace
        | Caution::Updates => true,
        // Finding out what a link reads is `link.rs`'s business; a compiler that writes code for the linker's optimiser
        // calls nobody.
        Caution::LinkTimeOptimization => kind == Kind::Link,
        // All candidates are declared, the directories are added, the compiler is asked.
        Caution::SaveTemps
        | Caution::UncertainNames
        | Caution::MissingDirectories
        | Caution::OtherPreprocessing
        | Caution::InputsNameInputs => false,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use daemon_api::Request;

    use super::*;
    use crate::plan::understood::parsed;

    #[test]
    fn what_is_kept_of_a_run_here() {
        let check = |excluded, declared, local, whole, expected: bool| {
            let found = not_kept_here(excluded, declared, local, whole);
            assert_eq!(
                found.is_none(),
                expected,
                "{excluded} {declared} {local} {whole}: {found:?}"
            );
        };
        check(false, false, false, true, true);
        check(false, false, true, false, true);
        check(false, true, true, true, true);
        check(false, true, false, true, false);
        check(false, true, true, false, false);
        check(true, false, true, true, false);
        check(true, true, true, true, false);
    }

    #[test]
    fn what_a_front_end_may_declare() {
        let check = |line: &str, expected: bool| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let parsed = parsed(&Request {
                arguments: words,
                directory: "/src".into(),
                environment: Vec::new(),
                settings: Vec::new(),
                is_terminal: false,
            });
            assert_eq!(may_be_declared(&parsed), expected, "{line}: {parsed:?}");
        };
        check("python3 gen.py", true);
        check("./tool", true);
        check("objcopy -O binary a b", true);
        // Of what a compiler reads somebody might forget a part.
        check("gcc -c a.c", false);
        check("gcc --no-such-option -c a.c", false);
        check("ld -o a a.o", false);
        // They change what is there.
        check("strip a", false);
        check("ar rcs a.a b.o", false);
    }
}
