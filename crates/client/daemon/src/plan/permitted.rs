//! Which steps are kept at all. A table of cases, nothing else.

use compiler::{Caution, Kind, Step, Tool};

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
