//! Merges a command's own directories into the compiler's list, as GCC and Clang do it: what is not there is dropped, and
//! a directory that is also a system directory keeps only its place among those.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use include_scanner::SearchPath;

use crate::arguments::UserDirectory;
use crate::facts::Facts;

/// Which directory a path leads to (device and inode), None if there is none there. Paths are absolute.
pub type DirectoryIdentity<'a> = dyn FnMut(&Path) -> Option<(u64, u64)> + 'a;

struct Directory {
    path: PathBuf,
    identity: (u64, u64),
}

/// The search path of a command. `facts` are those of a probe without `user`. None: the compiler has to be probed with
/// these directories, because `CPATH` comes between them or a path is relative to the sysroot (`=x`).
pub fn search_path(
    facts: &Facts,
    user: &[UserDirectory],
    environment: &[(OsString, OsString)],
    cwd: &Path,
    identity: &mut DirectoryIdentity<'_>,
) -> Option<SearchPath> {
    let has_cpath = environment
        .iter()
        .any(|(name, value)| name == "CPATH" && !value.is_empty());
    let is_odd = |path: &Path| {
        let bytes = path.as_os_str().as_bytes();
        bytes.is_empty() || bytes[0] == b'=' || bytes.starts_with(b"$SYSROOT") || bytes.ends_with(b".hmap")
    };
    if !facts.quote.is_empty() || has_cpath || user.iter().any(|directory| is_odd(directory.path())) {
        return None;
    }
    let (mut quote, mut angle, mut system, mut after) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for directory in user {
        let Some(identity) = identity(&cwd.join(directory.path())) else {
            continue;
        };
        let directory_here = Directory {
            path: directory.path().clone(),
            identity,
        };
        match directory {
            UserDirectory::Quote(_) => quote.push(directory_here),
            UserDirectory::Angle(_) => angle.push(directory_here),
            UserDirectory::System(_) => system.push(directory_here),
            UserDirectory::After(_) => after.push(directory_here),
        }
    }
    for path in &facts.angle {
        if let Some(identity) = identity(&cwd.join(path)) {
            system.push(Directory {
                path: path.clone(),
                identity,
            });
        }
    }
    system.append(&mut after);
    drop_duplicates(&mut system);
    drop_duplicates(&mut angle);
    angle.retain(|directory| system.iter().all(|other| other.identity != directory.identity));
    angle.append(&mut system);
    drop_duplicates(&mut quote);
    let is_gcc = facts.dialect.family == include_scanner::Family::Gcc;
    // GCC joins the two lists, and drops the end of the first if the second begins with it.
    if is_gcc
        && let (Some(last), Some(first)) = (quote.last(), angle.first())
        && last.identity == first.identity
    {
        quote.pop();
    }
    let paths = |directories: Vec<Directory>| -> Vec<PathBuf> {
        directories.into_iter().map(|directory| directory.path).collect()
    };
    Some(SearchPath::new(
        cwd,
        facts.dialect.family,
        &paths(quote),
        &paths(angle),
    ))
}

/// Keeps the first of several paths to one directory.
fn drop_duplicates(directories: &mut Vec<Directory>) {
    let mut seen = std::collections::HashSet::new();
    directories.retain(|directory| seen.insert(directory.identity));
}
