//! What a command makes: read to be kept, and written as it would have been.

pub(crate) mod directory;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use reapi::execution::{ActionResult, OutputDirectory, OutputFile};
use uuid::Uuid;

use crate::earlier::Earlier;
use crate::limits::OUTPUT_BYTES_MAX;
use crate::plan::PlannedOutput;

/// How the names of files begin that are being written.
const TEMPORARY: &str = ".farrier-";
/// The usual mask, where the command's own cannot be told.
const USUAL_MASK: u32 = 0o022;

/// One file that a command has made.
pub(crate) struct Made {
    /// In the result.
    pub(crate) name: String,
    pub(crate) bytes: Bytes,
    pub(crate) is_executable: bool,
}

/// Reads what the command has made, which is not what was there `earlier`, in the order of names. `None` if something is not
/// as it should be: the result is then not kept.
pub(crate) fn read(outputs: &[PlannedOutput], earlier: &Earlier) -> io::Result<Option<Vec<Made>>> {
    let mut made = Vec::new();
    for output in outputs.iter().filter(|output| !output.is_directory) {
        let mut file = match File::open(&output.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !output.is_required => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if earlier.has(&output.path, &metadata) {
            continue;
        }
        if !metadata.is_file() || metadata.len() > OUTPUT_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
        (&mut file).take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != metadata.len() {
            return Ok(None);
        }
        made.push(Made {
            name: output.name.clone(),
            bytes: bytes.into(),
            is_executable: metadata.permissions().mode() & 0o100 != 0,
        });
    }
    made.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(made))
}

/// One file to be written.
pub(crate) struct ToWrite {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Bytes,
    pub(crate) is_executable: bool,
    /// A make rule. Compilers write these through links, and replace a link that stands in an object's place, or write through
    /// that too.
    pub(crate) is_rule: bool,
}

/// The outputs of a result and where they go.
#[derive(Default)]
pub(crate) struct Places<'a> {
    pub(crate) files: Vec<(&'a OutputFile, &'a PlannedOutput)>,
    pub(crate) directories: Vec<(&'a OutputDirectory, &'a PlannedOutput)>,
}

impl<'a> Places<'a> {
    /// `None` if the result is not one of this command: an output is missing, or one is there that nobody expects.
    pub(crate) fn of(result: &'a ActionResult, outputs: &'a [PlannedOutput]) -> Option<Self> {
        let find = |name: &str, is_directory: bool| {
            let fits = |output: &&PlannedOutput| output.name == name && output.is_directory == is_directory;
            outputs.iter().find(fits)
        };
        let files = result.output_files.iter();
        let files: Vec<_> = files
            .map(|file| Some((file, find(&file.path, false)?)))
            .collect::<Option<_>>()?;
        let directories = result.output_directories.iter();
        let directories = directories
            .map(|directory| Some((directory, find(&directory.path, true)?)))
            .collect::<Option<_>>()?;
        let has = |output: &PlannedOutput| files.iter().any(|(_, place)| place.name == output.name);
        let is_whole = outputs.iter().filter(|output| output.is_required).all(has);
        (is_whole && result.output_symlinks.is_empty()).then_some(Places { files, directories })
    }
}

/// Writes files, each as a whole or not at all. `mask` is that of the command's process.
pub(crate) fn write(files: Vec<ToWrite>, mask: u32) -> io::Result<()> {
    files.iter().try_for_each(|file| write_file(file, mask))
}

fn write_file(file: &ToWrite, mask: u32) -> io::Result<()> {
    let path = match fs::symlink_metadata(&file.path) {
        Ok(metadata) if metadata.is_symlink() && file.is_rule => fs::canonicalize(&file.path)?,
        // Only the real tool knows: it depends on the tool, and on what is in the file that the link leads to.
        Ok(metadata) if metadata.is_symlink() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(metadata) if !metadata.is_file() => return Err(io::ErrorKind::AlreadyExists.into()),
        // It would have failed to write it too, though we could.
        Ok(metadata) if metadata.permissions().readonly() => {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        _ => file.path.clone(),
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let temporary = directory.join(format!("{TEMPORARY}{}", Uuid::new_v4().simple()));
    let mode = if file.is_executable { 0o777 } else { 0o666 };
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode & !mask)
        .open(&temporary)
        .and_then(|mut opened| {
            opened.write_all(&file.bytes)?;
            // Not cut by the daemon's own mask.
            opened.set_permissions(fs::Permissions::from_mode(mode & !mask))
        })
        .and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        // It may never have been there.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The mask of a process.
pub(crate) fn mask_of(process: Option<u32>) -> u32 {
    let status = process.and_then(|process| fs::read_to_string(format!("/proc/{process}/status")).ok());
    let mask = status.as_deref().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
        u32::from_str_radix(line.trim(), 8).ok()
    });
    mask.unwrap_or(USUAL_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(directory: &Path, name: &str, is_required: bool) -> PlannedOutput {
        PlannedOutput {
            name: name.into(),
            path: directory.join(name),
            is_required,
            is_rule: false,
            is_directory: false,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_was_read_is_written_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let outputs = ["a.o", "b.d", "c.su"].map(|name| output(directory.path(), name, name != "c.su"));
        fs::write(&outputs[0].path, "object").unwrap();
        assert!(
            read(&outputs, &Earlier::default()).unwrap().is_none(),
            "a required one is missing"
        );
        fs::write(&outputs[1].path, "rule").unwrap();
        fs::set_permissions(&outputs[1].path, fs::Permissions::from_mode(0o755)).unwrap();
        let made = read(&outputs, &Earlier::default()).unwrap().unwrap();
        let read: Vec<_> = made.iter().map(|made| &*made.bytes).collect();
        assert_eq!(read, [b"object".as_slice(), b"rule"]);

        let files = made.into_iter().map(|made| OutputFile {
            path: made.name,
            is_executable: made.is_executable,
            ..OutputFile::default()
        });
        let result = ActionResult {
            output_files: files.collect(),
            ..ActionResult::default()
        };
        let places = Places::of(&result, &outputs).unwrap();
        let to_write = places.files.iter().map(|(file, place)| ToWrite {
            path: place.path.with_extension("new"),
            bytes: Bytes::from_static(b"some"),
            is_executable: file.is_executable,
            is_rule: false,
        });
        write(to_write.collect(), 0o027).unwrap();
        assert_eq!(mode(&directory.path().join("a.new")), 0o640);
        assert_eq!(mode(&directory.path().join("b.new")), 0o750);
    }

    #[test]
    fn a_result_of_something_else_is_none() {
        let outputs = [output(Path::new("/"), "a.o", true)];
        let file = |path: &str| OutputFile {
            path: path.into(),
            ..OutputFile::default()
        };
        let check = |files: &[&str], is_some: bool| {
            let output_files = files.iter().map(|path| file(path)).collect();
            let result = ActionResult {
                output_files,
                ..ActionResult::default()
            };
            assert_eq!(Places::of(&result, &outputs).is_some(), is_some, "{files:?}");
        };
        check(&["a.o"], true);
        check(&[], false);
        check(&["a.o", "b.o"], false);
    }

    #[test]
    fn rules_are_written_through_symlinks_and_what_is_read_only_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink("target", &link).unwrap();
        let to_write = |path: &Path| ToWrite {
            path: path.into(),
            bytes: "new".into(),
            is_executable: false,
            is_rule: path == link,
        };
        let object = ToWrite {
            is_rule: false,
            ..to_write(&link)
        };
        let error = write(vec![object], 0o022).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        write(vec![to_write(&link)], 0o022).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        fs::set_permissions(&target, fs::Permissions::from_mode(0o444)).unwrap();
        let error = write(vec![to_write(&target)], 0o022).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let error = write(vec![to_write(&directory.path().join("no/such/directory"))], 0o022).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            2,
            "nothing is left behind"
        );
    }

    #[test]
    fn the_mask_is_that_of_the_process() {
        assert_eq!(mask_of(None), USUAL_MASK);
        assert!(mask_of(Some(std::process::id())) <= 0o777);
    }
}
