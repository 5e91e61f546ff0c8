//! Links to this program, one for each name.

use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

/// Makes them. Links that are there already are replaced; anything else that is there is not.
pub(crate) fn link(directory: &Path, names: &[&str]) -> ExitCode {
    match try_to(directory, names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("farrier-dialects: {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn try_to(directory: &Path, names: &[&str]) -> io::Result<()> {
    let program = env::current_exe()?;
    fs::create_dir_all(directory)?;
    for name in names {
        let link = directory.join(name);
        if fs::symlink_metadata(&link).is_ok_and(|found| found.is_symlink()) {
            fs::remove_file(&link)?;
        }
        symlink(&program, &link).map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    }
    Ok(())
}
