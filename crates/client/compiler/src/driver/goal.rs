//! How far a driver goes.

use super::command::Command;
use super::role::Depend;
use crate::{Kind, Language, NotOurs};

/// How far the driver goes, with what that makes of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Link,
    Object { assembly_only: bool },
    Assembly,
    Preprocess,
    Rules,
    Syntax,
    Header,
}

impl Goal {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Link => Kind::Link,
            Self::Object { assembly_only: true } => Kind::Assemble,
            Self::Object { assembly_only: false } => Kind::Compile,
            Self::Assembly => Kind::CompileToAssembly,
            Self::Preprocess => Kind::Preprocess,
            Self::Rules => Kind::Dependencies,
            Self::Syntax => Kind::SyntaxOnly,
            Self::Header => Kind::PrecompileHeader,
        }
    }

    pub(super) fn assembles(self) -> bool {
        matches!(self, Self::Link | Self::Object { .. })
    }

    pub(super) fn compiles(self) -> bool {
        matches!(
            self,
            Self::Link | Self::Object { .. } | Self::Assembly | Self::Header
        )
    }
}

impl Command {
    /// How far this command goes.
    pub(super) fn goal(&self) -> Result<Goal, NotOurs> {
        if self.files.is_empty() {
            return Err(NotOurs::NoInput);
        }
        if self.output.as_deref() == Some("") {
            return Err(NotOurs::Contradiction {
                because: "a product without a name",
            });
        }
        let headers = self
            .sources()
            .filter(|(_, language)| language.is_header())
            .count();
        let sources = self.sources().count();
        let instead = matches!(self.rules.wanted, Some(Depend::OnlyAll | Depend::OnlyUser));
        let goal = match self.stop {
            _ if instead => Goal::Rules,
            Some(Kind::Preprocess) => Goal::Preprocess,
            Some(Kind::SyntaxOnly) => Goal::Syntax,
            Some(Kind::CompileToAssembly) if headers == 0 => Goal::Assembly,
            Some(Kind::Compile) if self.emit_pch => Goal::Header,
            Some(Kind::Compile) | None if headers > 0 => {
                if headers < sources || sources < self.files.len() {
                    return Err(NotOurs::Contradiction {
                        because: "headers among other files",
                    });
                }
                Goal::Header
            }
            Some(Kind::Compile) => Goal::Object {
                assembly_only: self.sources().all(|(_, language)| language.is_assembler()),
            },
            None => Goal::Link,
            Some(_) => {
                return Err(NotOurs::Contradiction {
                    because: "a header is no assembly",
                });
            }
        };
        if goal != Goal::Link && sources == 0 {
            return Err(NotOurs::NoInput);
        }
        if self.sources().any(|(_, language)| !has_product(goal, language)) {
            return Err(NotOurs::Contradiction {
                because: "nothing is made of such a source",
            });
        }
        if self.emit_llvm && goal == Goal::Link {
            return Err(NotOurs::unsupported("-emit-llvm", "a link of another kind"));
        }
        if self.emit_pch && goal != Goal::Header {
            return Err(NotOurs::Contradiction {
                because: "a precompiled header, and something else",
            });
        }
        if goal != Goal::Link && sources > 1 && self.output.is_some() && goal != Goal::Rules {
            return Err(NotOurs::Contradiction {
                because: "one product of several sources",
            });
        }
        if self.sources().filter(|(file, _)| file.is_stdin()).count() > 1 {
            return Err(NotOurs::Contradiction {
                because: "standard input twice",
            });
        }
        Ok(goal)
    }
}

/// Whether this goal makes something of such a source: preprocessed text is not preprocessed again, assembly is not
/// compiled. Of `-S` with assembly, compilers make different things.
fn has_product(goal: Goal, language: Language) -> bool {
    match goal {
        Goal::Preprocess | Goal::Rules => language.is_preprocessed_first(),
        Goal::Assembly | Goal::Syntax => !language.is_assembler(),
        Goal::Link | Goal::Object { .. } | Goal::Header => true,
    }
}
