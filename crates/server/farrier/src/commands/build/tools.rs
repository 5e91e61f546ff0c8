//! A directory of links named as the tools, all to the wrapper.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use compiler::Tool;

/// Most tools that are linked; a `PATH` has a few dozen.
const TOOLS_MAX: usize = 4096;

/// The program that stands in for tools: `farrier-cc` beside this program, which starts in no time, else this program
/// itself.
pub(super) fn wrapper() -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program")?;
    let beside = this.with_file_name(wrapper::WRAPPER_NAME);
    Ok(if beside.is_file() { beside } else { this })
}

/// Makes the links for the tools of a `PATH` in `directory`, and for `more` names. Those of earlier builds stay: somebody may have written
/// them down. `farrier-cc` is there too, for launchers.
pub(super) fn link(directory: &Path, path: &OsStr, more: &[OsString], wrapper: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut names = tools_of(path, directory);
    for name in more.iter().filter(|name| !name.is_empty()) {
        let is_name = Path::new(name).file_name() == Some(name);
        ensure!(
            is_name,
            "`{}` is a path; tools are named by their names alone",
            name.display()
        );
        names.insert(name.clone());
    }
    names.insert(wrapper::WRAPPER_NAME.into());
    for name in names {
        let link = directory.join(&name);
        if fs::read_link(&link).is_ok_and(|target| target == wrapper) {
            continue;
        }
        // In one step: another build may be using it.
        let temporary = directory.join(format!(".{}-{}", name.display(), uuid::Uuid::new_v4().simple()));
        symlink(wrapper, &temporary)
            .and_then(|()| fs::rename(&temporary, &link))
            .with_context(|| format!("cannot make {}", link.display()))?;
    }
    Ok(())
}

/// Names of tools that are found in a `PATH`, by themselves and not by our links.
fn tools_of(path: &OsStr, links: &Path) -> BTreeSet<OsString> {
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute() && directory != links)
        .flat_map(|directory| {
            let loads_llvm = loads_llvm(&directory);
            // A directory that cannot be listed has nothing for anyone.
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name());
            names.filter(move |name| name.to_str().is_some_and(|name| is_linked(name, loads_llvm)))
        })
        .take(TOOLS_MAX)
        .collect()
}

/// Only tools whose work is kept, and takes longer than an answer: the others, such as `ar`, would only start later.
fn is_linked(name: &str, loads_llvm: bool) -> bool {
    match compiler::is_tool_name(name) {
        Some(Tool::GccDriver | Tool::ClangDriver | Tool::Ld) => true,
        // By itself that of binutils takes a millisecond; with LLVM, twenty.
        Some(Tool::Nm) => loads_llvm || name.contains("llvm-nm"),
        _ => false,
    }
}

/// Whether the tools of binutils in a directory load LLVM each time, to know its objects.
fn loads_llvm(directory: &Path) -> bool {
    let plugins = directory.join("../lib/bfd-plugins");
    let mut entries = fs::read_dir(plugins).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with("LLVMgold"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_linked_once_under_their_own_names() {
        let directory = tempfile::tempdir().unwrap();
        let (bin, links) = (directory.path().join("bin"), directory.path().join("links"));
        fs::create_dir(&bin).unwrap();
        for name in [
            "gcc",
            "x86_64-linux-gnu-g++-12",
            "clang-15",
            "ld",
            "nm",
            "llvm-nm-14",
            "x86_64-linux-gnu-gcc-nm-12",
            "ar",
            "cat",
            "ccache-gcc",
        ] {
            fs::write(bin.join(name), "").unwrap();
        }
        let path =
            std::env::join_paths([&links, &bin, Path::new("relative"), Path::new("/no/such")]).unwrap();
        let linked = || {
            let names = fs::read_dir(&links)
                .unwrap()
                .map(|entry| entry.unwrap().file_name());
            names.collect::<BTreeSet<_>>()
        };
        let wanted = [
            "clang-15",
            "farrier-cc",
            "gcc",
            "ld",
            "llvm-nm-14",
            "x86_64-linux-gnu-g++-12",
        ]
        .map(OsString::from);
        for wrapper in ["/one/farrier-cc", "/two/farrier-cc", "/two/farrier-cc"] {
            link(&links, &path, &[], Path::new(wrapper)).unwrap();
            assert_eq!(linked(), BTreeSet::from(wanted.clone()));
            assert_eq!(fs::read_link(links.join("gcc")).unwrap(), Path::new(wrapper));
        }
        let plugins = directory.path().join("lib/bfd-plugins");
        fs::create_dir_all(&plugins).unwrap();
        fs::write(plugins.join("liblto_plugin.so"), "").unwrap();
        assert!(!tools_of(&path, &links).contains(OsStr::new("nm")));
        fs::write(plugins.join("LLVMgold-14.so"), "").unwrap();
        assert!(tools_of(&path, &links).contains(OsStr::new("nm")));

        let more = |name: &str| link(&links, &path, &[name.into()], Path::new("/two/farrier-cc"));
        more("bison").unwrap();
        assert_eq!(
            fs::read_link(links.join("bison")).unwrap(),
            Path::new("/two/farrier-cc")
        );
        assert!(more("/usr/bin/bison").is_err());
    }
}
