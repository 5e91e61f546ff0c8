//! What puts the absolute working directory into a product though no word asks for it: what is read, and how it is found.

use std::fs;
use std::path::{Path, PathBuf};

use compiler::{DirectoryKind, Kind, Step, Tool};
use daemon_api::Request;

use super::discover::contains;
use super::layout::normal;
use crate::tool::variable;

/// Variables with directories that count among the system's.
const OF_SYSTEM: [&str; 3] = ["C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "OBJC_INCLUDE_PATH"];

/// What in assembly says which line of which source is meant.
const LINES: &[u8] = b".loc";

/// Whether it gets in, where the step reads these files.
pub(super) fn by_reading(files: &[PathBuf], request: &Request, step: &Step) -> bool {
    has_lines(request, step) || step.tool == Tool::GccDriver && is_made_absolute(files, request, step)
}

/// Whether assembly says of which lines it is: then the assembler writes debug information, without being asked.
fn has_lines(request: &Request, step: &Step) -> bool {
    let says = |source: &PathBuf| {
        let text = fs::read(request.directory.join(source));
        text.is_ok_and(|text| contains(&text, LINES))
    };
    step.kind == Kind::Assemble && step.sources.iter().any(says)
}

/// Whether gcc calls a header by its absolute path: one below a relative `--sysroot`; and one of a directory of the system's, where
/// that is the shorter name.
fn is_made_absolute(files: &[PathBuf], request: &Request, step: &Step) -> bool {
    let absolute = |path: &Path| normal(&request.directory.join(path));
    let sysroot = step.preprocessing.as_ref().and_then(|it| it.sysroot.as_deref());
    if let Some(sysroot) = sysroot.filter(|sysroot| sysroot.is_relative()) {
        let sysroot = absolute(sysroot);
        if files.iter().any(|path| absolute(path).starts_with(&sysroot)) {
            return true;
        }
    }
    let of_system = relative_of_system(request, step);
    let is_longer = |path: &PathBuf| {
        let found = path.strip_prefix(&request.directory).unwrap_or(path);
        let is_of_system = of_system.iter().any(|directory| found.starts_with(directory));
        let whole = || request.directory.join(found).canonicalize();
        is_of_system && whole().is_ok_and(|whole| whole.as_os_str().len() <= found.as_os_str().len())
    };
    !of_system.is_empty() && files.iter().any(is_longer)
}

/// Directories of the system's that are named from the working directory.
fn relative_of_system(request: &Request, step: &Step) -> Vec<PathBuf> {
    let is_of_system = |kind| matches!(kind, DirectoryKind::System | DirectoryKind::After);
    let said = step.preprocessing.iter().flat_map(|it| &it.directories);
    let said = said.filter(|directory| is_of_system(directory.kind));
    let said = said.map(|directory| directory.path.clone());
    let listed = OF_SYSTEM.iter().filter_map(|name| variable(request, name));
    // Nothing is listed by a variable with nothing in it.
    let listed = listed.filter(|list| !list.is_empty());
    let listed = listed.flat_map(std::env::split_paths);
    said.chain(listed).filter(|path| path.is_relative()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::understood::parsed;

    #[test]
    fn what_is_read_may_bring_the_directory_with_it() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        for directory in ["out", "sys/usr/include", "inc"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for header in ["sys/usr/include/s.h", "inc/h.h"] {
            fs::write(root.join(header), "").unwrap();
        }
        fs::write(root.join("out/plain.s"), "\tnop\n").unwrap();
        fs::write(root.join("out/lines.s"), "\t.file 1 \"x\"\n\t.loc 1 1\n").unwrap();
        fs::write(root.join("out/options"), "--sysroot=../sys").unwrap();
        // There and back, until it is longer than any absolute path.
        let roundabout = "../out/".repeat(40) + "../inc";
        let long = |end: &str| format!("{roundabout}{end}");
        let check = |line: &str, files: &[&str], list: &str, expected: bool| {
            let request = Request {
                arguments: line.split(' ').map(Into::into).collect(),
                directory: root.join("out"),
                environment: vec![("C_INCLUDE_PATH".into(), list.into())],
                settings: Vec::new(),
                is_terminal: false,
            };
            let files: Vec<_> = files.iter().map(PathBuf::from).collect();
            let step = parsed(&request).unwrap();
            assert_eq!(by_reading(&files, &request, &step), expected, "{line} {list}");
        };
        check("gcc -c plain.s", &["plain.s"], "", false);
        check("gcc -c lines.s", &["lines.s"], "", true);
        check("clang -c lines.s", &["lines.s"], "", true);
        let below = ["../sys/usr/include/s.h"];
        check("gcc --sysroot=../sys -c a.c", &below, "", true);
        check("gcc @options -c a.c", &below, "", true);
        check("gcc --sysroot=../sys -isysroot ../inc -c a.c", &below, "", false);
        check("gcc -isysroot ../sys -c a.c", &["../inc/h.h"], "", false);
        check("clang --sysroot=../sys -c a.c", &below, "", false);
        let (header, header_of_long) = ("../inc/h.h", long("/h.h"));
        check("gcc -isystem ../inc -c a.c", &[header], "", false);
        check(
            &format!("gcc -isystem {roundabout} -c a.c"),
            &[&header_of_long],
            "",
            true,
        );
        check(
            &format!("gcc -I{roundabout} -c a.c"),
            &[&header_of_long],
            "",
            false,
        );
        check(
            &format!("clang -isystem {roundabout} -c a.c"),
            &[&header_of_long],
            "",
            false,
        );
        check("gcc -c a.c", &[&header_of_long], &roundabout, true);
        check("gcc -c a.c", &[header], "../inc", false);
    }
}
