//! What a driver writes, and what it is called.
//!
//! Names were taken from gcc 12 and clang 14 themselves (`tests/real_tools` compares). Where versions disagree
//! all names are declared and none is required.

use super::command::{Command, File};
use super::goal::Goal;
use super::role::Side;
use crate::invocation::path;
use crate::{Caution, Language, NotOurs, Step};

impl Command {
    /// Declares everything that is written, but for the link's own files.
    pub(super) fn products(&self, goal: Goal, step: &mut Step) -> Result<(), NotOurs> {
        let sources: Vec<(&File, Language)> = self.sources().collect();
        match goal {
            Goal::Link | Goal::Syntax => {}
            Goal::Object { .. } => {
                self.product_each(&sources, if self.emit_llvm { "bc" } else { "o" }, step)?
            }
            Goal::Assembly => self.product_each(&sources, if self.emit_llvm { "ll" } else { "s" }, step)?,
            Goal::Preprocess => match self.output.as_deref() {
                None | Some("-") => step.stdout = true,
                Some(output) => step.writes(output, true),
            },
            Goal::Rules => self.rules_only(step),
            Goal::Header => self.headers(&sources, step)?,
        }
        if goal != Goal::Rules {
            self.rules(goal, &sources, step)?;
        }
        self.sides(goal, &sources, step)?;
        if goal.compiles() {
            for (name, required) in &self.written {
                step.writes(name, *required);
            }
        } else if !self.written.is_empty() {
            return Err(NotOurs::Contradiction {
                because: "files of a compilation without one",
            });
        }
        if self.save_temps {
            self.temporaries(goal, &sources, step)?;
        }
        Ok(())
    }

    fn product_each(
        &self,
        sources: &[(&File, Language)],
        extension: &str,
        step: &mut Step,
    ) -> Result<(), NotOurs> {
        match self.output.as_deref() {
            // gcc's assembler cannot write to standard output.
            Some("-") if extension == "o" && !self.is_clang() => {
                Err(NotOurs::unsupported("-o", "an object on standard output"))
            }
            Some("-") => {
                step.stdout = true;
                Ok(())
            }
            Some(output) => {
                step.writes(output, true);
                Ok(())
            }
            None => {
                for (file, _) in sources {
                    step.writes(format!("{}.{extension}", source_stem(&file.name)?), true);
                }
                Ok(())
            }
        }
    }

    fn headers(&self, sources: &[(&File, Language)], step: &mut Step) -> Result<(), NotOurs> {
        step.caution.push(Caution::PrecompiledHeader);
        match self.output.as_deref() {
            Some(output) if output != "-" => step.writes(output, true),
            Some(_) => {
                return Err(NotOurs::unsupported(
                    "-o",
                    "a precompiled header on standard output",
                ));
            }
            None => {
                for (file, _) in sources {
                    if self.emit_pch || file.is_stdin() {
                        return Err(NotOurs::unsupported("-emit-pch", "the product has no name"));
                    }
                    step.writes(format!("{}.gch", file.name), true);
                }
            }
        }
        Ok(())
    }

    /// `-M` and `-MM`: the rule is the product.
    fn rules_only(&self, step: &mut Step) {
        match (self.rules.file.as_deref(), self.output.as_deref()) {
            (None | Some("-"), None | Some("-")) => step.stdout = true,
            (None, Some(output)) => {
                step.writes(output, true);
                step.depfile = Some(path(output));
            }
            (Some(file), output) => {
                if file == "-" {
                    step.stdout = true;
                } else {
                    step.writes(file, true);
                    step.depfile = Some(path(file));
                }
                // gcc leaves it empty, clang does not write it.
                if let Some(output) = output.filter(|output| *output != "-") {
                    step.writes(output, false);
                }
            }
        }
    }

    /// The rule beside the product.
    fn rules(&self, goal: Goal, sources: &[(&File, Language)], step: &mut Step) -> Result<(), NotOurs> {
        // Where no preprocessor runs, there is no rule.
        let ruled: Vec<&(&File, Language)> = sources
            .iter()
            .filter(|(_, language)| language.is_preprocessed_first())
            .collect();
        if let Some(direct) = &self.rules.direct {
            if self.rules.file.is_some() {
                return Err(NotOurs::Contradiction {
                    because: "two files for one rule",
                });
            }
            return self.rule_in(direct, &ruled, step);
        }
        if self.rules.wanted.is_none() {
            if self.rules.file.is_some() {
                return Err(NotOurs::Contradiction {
                    because: "a file for a rule, and no rule",
                });
            }
            return Ok(());
        }
        if let Some(file) = &self.rules.file {
            return self.rule_in(file, &ruled, step);
        }
        if ruled.is_empty() {
            return Ok(());
        }
        if matches!(goal, Goal::Syntax | Goal::Header) {
            return Err(NotOurs::unsupported(
                "-MD",
                "the rule's default name is uncertain here",
            ));
        }
        let names: Vec<String> = match (&self.output, goal) {
            (Some(output), _) => vec![format!("{}.d", output_stem(output)?)],
            (None, Goal::Link) if !self.is_clang() => {
                step.caution.push(Caution::UncertainNames);
                let mut names = Vec::new();
                for (file, _) in &ruled {
                    let stem = source_stem(&file.name)?;
                    names.extend([format!("a-{stem}.d"), format!("{stem}.d")]);
                }
                names
            }
            (None, _) => ruled
                .iter()
                .map(|(file, _)| Ok(format!("{}.d", source_stem(&file.name)?)))
                .collect::<Result<_, NotOurs>>()?,
        };
        let exact = self.output.is_some() || goal != Goal::Link || self.is_clang();
        step.depfile = names.first().map(|name| path(name));
        for name in names {
            step.writes(name, exact);
        }
        Ok(())
    }

    fn rule_in(&self, file: &str, ruled: &[&(&File, Language)], step: &mut Step) -> Result<(), NotOurs> {
        if ruled.is_empty() {
            return Ok(());
        }
        if file == "-" {
            step.caution.push(Caution::Talkative);
        } else {
            step.writes(file, true);
            if step.outputs.iter().any(|output| output.path == path(file)) {
                step.depfile = Some(path(file));
            }
        }
        Ok(())
    }

    /// Files that are named after the product.
    fn sides(&self, goal: Goal, sources: &[(&File, Language)], step: &mut Step) -> Result<(), NotOurs> {
        if self.sides.is_empty() || matches!(goal, Goal::Preprocess | Goal::Rules) {
            return Ok(());
        }
        if matches!(goal, Goal::Syntax | Goal::Header) {
            return Err(NotOurs::unsupported(
                "-fstack-usage",
                "files beside a product that is no object",
            ));
        }
        if goal == Goal::Link && self.link_time_optimization {
            return Err(NotOurs::unsupported(
                "-flto",
                "files beside objects that the linker makes",
            ));
        }
        for side in &self.sides {
            for (file, language) in sources {
                if !self.side_is_made(*side, goal, *language) {
                    continue;
                }
                match (side, &self.profile_note) {
                    (Side::TimeTrace, _) => {
                        self.time_trace(goal, file, step)?;
                        continue;
                    }
                    (Side::Coverage, Some(note)) => {
                        step.writes(note, true);
                        continue;
                    }
                    _ => {}
                }
                let (stems, exact) = self.stems(goal, file)?;
                if !exact {
                    step.caution.push(Caution::UncertainNames);
                }
                for stem in stems {
                    for ending in self.endings(*side, &file.name) {
                        step.writes(
                            format!("{stem}.{ending}"),
                            exact && self.always_made(*side, *language),
                        );
                    }
                }
            }
        }
        Ok(())
    }

    fn time_trace(&self, goal: Goal, file: &File, step: &mut Step) -> Result<(), NotOurs> {
        if goal == Goal::Link {
            return Err(NotOurs::unsupported(
                "-ftime-trace",
                "its name is uncertain in a link",
            ));
        }
        match self.time_trace.as_deref() {
            Some(directory) if directory.ends_with('/') => {
                Err(NotOurs::unsupported("-ftime-trace", "a directory of traces"))
            }
            // Older versions know no name and write beside the product.
            Some(name) => {
                step.writes(name, false);
                Ok(())
            }
            None => {
                let stem = self.stems(goal, file)?.0;
                for stem in stem {
                    step.writes(format!("{stem}.json"), true);
                }
                Ok(())
            }
        }
    }

    /// Stems of files beside the product, and whether there is no doubt.
    fn stems(&self, goal: Goal, file: &File) -> Result<(Vec<String>, bool), NotOurs> {
        let source = source_stem(&file.name)?;
        if goal != Goal::Link {
            let stem = match &self.output {
                Some(output) => output_stem(output)?,
                None => source,
            };
            return Ok((vec![stem], true));
        }
        // gcc before 11 and clang before 15 write `source.gcno`, later ones `program-source.gcno`; gcc leaves the
        // source away where the program is called like it. clang's `.su` is called like the program, whatever the
        // sources are.
        let mut stems = vec![source.clone()];
        match &self.output {
            None => stems.push(format!("a-{source}")),
            Some(output) => {
                let stem = output_stem(output)?;
                stems.push(format!("{output}-{source}"));
                stems.push(format!("{stem}-{source}"));
                stems.push(stem);
                if let Some((directory, _)) = output.rsplit_once('/') {
                    stems.push(format!("{directory}/{source}"));
                }
            }
        }
        Ok((stems, false))
    }

    fn endings(&self, side: Side, source: &str) -> Vec<String> {
        let extension = source.rsplit_once('.').map(|(_, extension)| extension);
        match side {
            Side::StackUsage => vec!["su".to_owned()],
            Side::CallGraph => vec!["ci".to_owned()],
            Side::Coverage => vec!["gcno".to_owned()],
            Side::SplitDwarf => vec!["dwo".to_owned()],
            Side::TimeTrace => vec!["json".to_owned()],
            Side::OptimizationRecord if self.is_clang() => vec!["opt.yaml".to_owned()],
            Side::OptimizationRecord => vec![
                format!("{}.opt-record.json.gz", extension.unwrap_or_default()),
                "opt-record.json.gz".to_owned(),
            ],
        }
    }

    fn side_is_made(&self, side: Side, goal: Goal, language: Language) -> bool {
        match side {
            // gcc splits an object that is there; clang's code generator splits what it makes, text as well.
            Side::SplitDwarf => goal.assembles() || self.is_clang(),
            Side::TimeTrace => language != Language::Assembler,
            _ => !language.is_assembler(),
        }
    }

    fn always_made(&self, side: Side, language: Language) -> bool {
        match side {
            Side::Coverage => !self.is_clang(),
            // gcc's driver splits every object; clang only one with debug information.
            Side::SplitDwarf => !self.is_clang() && language != Language::LlvmIr,
            _ => false,
        }
    }

    /// `-save-temps`: names depend on the version, contents on the source; all are declared, none is required.
    fn temporaries(&self, goal: Goal, sources: &[(&File, Language)], step: &mut Step) -> Result<(), NotOurs> {
        if matches!(goal, Goal::Link | Goal::Header | Goal::Syntax) {
            return Err(NotOurs::unsupported(
                "-save-temps",
                "the linker's temporary files have names of their own",
            ));
        }
        step.caution.push(Caution::UncertainNames);
        for (file, _) in sources {
            let source = source_stem(&file.name)?;
            let mut stems = vec![source.clone()];
            if let Some(output) = &self.output {
                stems.push(output_stem(output)?);
                if let Some((directory, _)) = output.rsplit_once('/') {
                    stems.push(format!("{directory}/{source}"));
                }
            }
            for stem in stems {
                for ending in ["i", "ii", "mi", "mii", "s", "bc", "o"] {
                    let name = format!("{stem}.{ending}");
                    if !sources.iter().any(|(source, _)| source.name == name) {
                        step.writes(name, false);
                    }
                }
            }
        }
        Ok(())
    }
}

/// A source's name without directory and extension: what its products are called by default.
fn source_stem(name: &str) -> Result<String, NotOurs> {
    let base = name.rsplit('/').next().unwrap_or(name);
    stem(base)
        .map(str::to_owned)
        .ok_or_else(|| NotOurs::unsupported(name, "it has no name to derive others from"))
}

/// A product's name without extension: what is beside it is called so.
fn output_stem(name: &str) -> Result<String, NotOurs> {
    let uncertain = || NotOurs::unsupported(name, "it has no name to derive others from");
    if name.starts_with("/dev/") || name == "-" {
        return Err(uncertain());
    }
    let (directory, base) = match name.rfind('/') {
        Some(at) => name.split_at(at + 1),
        None => ("", name),
    };
    let stem = stem(base).ok_or_else(uncertain)?;
    Ok(format!("{directory}{stem}"))
}

fn stem(base: &str) -> Option<&str> {
    match base.rsplit_once('.') {
        Some(("", _)) => None,
        Some((stem, _)) => Some(stem),
        None if base.is_empty() => None,
        None => Some(base),
    }
}
