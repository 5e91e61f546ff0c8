//! What a system call is about to do: its arguments, and a look at what is there.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use observation::{At, Event, kind_and_name};

use super::arguments::{Arguments, Unseen};
use super::filter::{FCHMODAT2, NEW_ATTRIBUTES};
use super::interpreter::interpreter;
use super::notes::Notes;
use crate::sys::Notice;

/// Programs that name a program to run them, one after the other, as the kernel follows them.
const INTERPRETERS_MAX: usize = 5;
/// Most names of a directory that are noted.
const NAMES_MAX: usize = 100_000;
/// The machine's null device, as its number says it.
const NULL_DEVICE: u64 = 0x103;
/// Follows a path as if a directory were the root.
const RESOLVE_IN_ROOT: u64 = 0x10;
/// Other names of standard input.
const INPUT_NAMES: [&str; 3] = ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// One call, being decoded.
struct Call<'a> {
    arguments: Arguments<'a>,
    notes: &'a mut Notes,
}

/// Notes what the call is about to do. `is_waiting` says whether its process still is the one that made it: what was read
/// of another process's memory means nothing.
pub(super) fn note(notice: &Notice, notes: &mut Notes, is_waiting: &dyn Fn() -> bool) {
    let mut call = Call {
        arguments: Arguments(notice),
        notes,
    };
    if let Err(Unseen(why)) = call.note()
        && is_waiting()
    {
        call.notes.add(Event::Unknown(why.to_owned()));
    }
}

const AT_FDCWD: i32 = libc::AT_FDCWD;

impl Call<'_> {
    fn note(&mut self) -> Result<(), Unseen> {
        let Some(number) = self.arguments.call() else {
            return Err(Unseen("it runs a program of another architecture"));
        };
        match number {
            libc::SYS_open => self.open(AT_FDCWD, 0, self.arguments.word(1)),
            libc::SYS_openat => self.open(self.arguments.word(0), 1, self.arguments.word(2)),
            libc::SYS_openat2 => {
                // Flags, mode, and how the path is followed.
                let how = self.arguments.bytes(2, 24)?;
                let number = |at: usize| {
                    let bytes = how.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
                    bytes.map_or(0, u64::from_ne_bytes)
                };
                if number(16) & RESOLVE_IN_ROOT != 0 {
                    return Err(Unseen("it follows paths in a way of its own"));
                }
                self.open(self.arguments.word(0), 1, number(0) as i32)
            }
            libc::SYS_creat => self.open(AT_FDCWD, 0, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC),
            libc::SYS_stat | libc::SYS_access | libc::SYS_statfs => self.look(AT_FDCWD, 0, true),
            libc::SYS_getxattr | libc::SYS_listxattr => self.look(AT_FDCWD, 0, true),
            libc::SYS_lgetxattr | libc::SYS_llistxattr => self.look(AT_FDCWD, 0, false),
            libc::SYS_name_to_handle_at => self.look(self.arguments.word(0), 1, true),
            libc::SYS_lstat => self.look(AT_FDCWD, 0, false),
            libc::SYS_newfstatat => self.look(self.arguments.word(0), 1, self.arguments.follows(3)),
            libc::SYS_statx => self.look(self.arguments.word(0), 1, self.arguments.follows(2)),
            libc::SYS_faccessat => self.look(self.arguments.word(0), 1, true),
            libc::SYS_faccessat2 => self.look(self.arguments.word(0), 1, self.arguments.follows(3)),
            libc::SYS_chdir => self.look(AT_FDCWD, 0, true),
            libc::SYS_readlink => self.look(AT_FDCWD, 0, false),
            libc::SYS_readlinkat => self.look(self.arguments.word(0), 1, false),
            libc::SYS_execve => self.execute(AT_FDCWD, 0),
            libc::SYS_execveat => self.execute(self.arguments.word(0), 1),
            libc::SYS_getdents | libc::SYS_getdents64 => self.list(),
            libc::SYS_rename => self.rename((AT_FDCWD, 0), (AT_FDCWD, 1)),
            libc::SYS_renameat => self.rename((self.arguments.word(0), 1), (self.arguments.word(2), 3)),
            libc::SYS_renameat2 if self.arguments.word(4).cast_unsigned() & !libc::RENAME_NOREPLACE == 0 => {
                self.rename_unless_there((self.arguments.word(0), 1), (self.arguments.word(2), 3))
            }
            libc::SYS_renameat2 => Err(Unseen("it changes places of files")),
            libc::SYS_link => self.link((AT_FDCWD, 0), (AT_FDCWD, 1)),
            libc::SYS_linkat => self.link((self.arguments.word(0), 1), (self.arguments.word(2), 3)),
            libc::SYS_symlink | libc::SYS_symlinkat => Err(Unseen("it makes a symlink")),
            libc::SYS_mknod | libc::SYS_mknodat => Err(Unseen("it makes a special file")),
            libc::SYS_unlink => self.remove(AT_FDCWD, 0),
            libc::SYS_unlinkat if self.arguments.word(2) & libc::AT_REMOVEDIR != 0 => {
                self.remove_directory(self.arguments.word(0), 1)
            }
            libc::SYS_unlinkat => self.remove(self.arguments.word(0), 1),
            libc::SYS_rmdir => self.remove_directory(AT_FDCWD, 0),
            libc::SYS_mkdir => self.make_directory(AT_FDCWD, 0),
            libc::SYS_mkdirat => self.make_directory(self.arguments.word(0), 1),
            libc::SYS_truncate => self.truncate(),
            libc::SYS_ftruncate => self.truncate_open(),
            libc::SYS_chmod | libc::SYS_chown | libc::SYS_utime | libc::SYS_utimes => {
                self.change(AT_FDCWD, 0, true)
            }
            libc::SYS_setxattr | libc::SYS_removexattr => self.change(AT_FDCWD, 0, true),
            libc::SYS_lchown | libc::SYS_lsetxattr | libc::SYS_lremovexattr => {
                self.change(AT_FDCWD, 0, false)
            }
            libc::SYS_fchmod | libc::SYS_fchown | libc::SYS_fsetxattr | libc::SYS_fremovexattr => {
                self.change_open(0)
            }
            libc::SYS_fchmodat | FCHMODAT2 | libc::SYS_futimesat => {
                self.change(self.arguments.word(0), 1, true)
            }
            libc::SYS_fchownat => self.change(self.arguments.word(0), 1, self.arguments.follows(4)),
            // Without a path it means the descriptor.
            libc::SYS_utimensat if self.arguments.number(1) == 0 => self.change_open(0),
            libc::SYS_utimensat => self.change(self.arguments.word(0), 1, self.arguments.follows(3)),
            libc::SYS_connect => self.connect(),
            libc::SYS_socket | libc::SYS_bind => Err(Unseen("it talks to others")),
            libc::SYS_read
            | libc::SYS_readv
            | libc::SYS_pread64
            | libc::SYS_preadv
            | libc::SYS_preadv2
            | libc::SYS_copy_file_range
            | libc::SYS_splice
            | libc::SYS_tee
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_recvmmsg
            | libc::SYS_sendfile => self.input(true),
            libc::SYS_mmap if self.arguments.word(3) & libc::MAP_ANONYMOUS != 0 => Ok(()),
            libc::SYS_mmap => self.input(true),
            libc::SYS_dup | libc::SYS_dup2 | libc::SYS_dup3 => self.input(false),
            libc::SYS_fcntl if self.copies() => self.input(false),
            libc::SYS_fcntl => Ok(()),
            libc::SYS_shmat
            | libc::SYS_msgrcv
            | libc::SYS_mq_open
            | libc::SYS_semop
            | libc::SYS_semtimedop => Err(Unseen("it shares memory or messages with others")),
            number if NEW_ATTRIBUTES.contains(&number) => Err(Unseen("it looks at attributes of files")),
            _ => Err(Unseen("it has a file system of its own")),
        }
    }

    /// Shells put standard input aside, out of the way of what they start, and take it back again: to numbers from here on.
    fn copies(&self) -> bool {
        const PUT_ASIDE: i32 = 10;
        matches!(self.arguments.word(1), libc::F_DUPFD | libc::F_DUPFD_CLOEXEC)
            && self.arguments.word(2) < PUT_ASIDE
    }

    fn at(&mut self, directory: i32, argument: usize, follows: bool) -> Result<Option<At>, Unseen> {
        let path = self.arguments.path(directory, argument)?;
        // Which process is meant there, only that one knows.
        let is_detour = |path: &PathBuf| {
            path.starts_with("/proc")
                && path
                    .iter()
                    .any(|part| part == "cwd" || part == "root" || part == "map_files")
        };
        if path.as_ref().is_some_and(is_detour) {
            return Err(Unseen("it reaches files through /proc"));
        }
        Ok(path.map(|path| self.notes.at(path, follows)))
    }

    fn open(&mut self, directory: i32, argument: usize, flags: i32) -> Result<(), Unseen> {
        let follows = flags & libc::O_NOFOLLOW == 0;
        let Some(at) = self.at(directory, argument, follows)? else {
            return Ok(());
        };
        if INPUT_NAMES.iter().any(|name| at.path == Path::new(name)) {
            return self.input(true);
        }
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0;
        let is_nameless = flags & libc::O_TMPFILE == libc::O_TMPFILE;
        let creates = flags & libc::O_CREAT != 0 && !is_nameless;
        let found = there(&at.path, follows)?;
        let fails = flags & libc::O_EXCL != 0 && creates;
        match found {
            None if creates => {
                // Otherwise it would have been another file that grows, or an error.
                if flags & libc::O_TRUNC == 0 {
                    self.notes.add(Event::Absent(at.clone()));
                }
                self.notes.add(Event::Written { at, keeps: false });
            }
            None => self.notes.add(Event::Absent(at)),
            Some(found) if found.is_dir() => self.notes.add(Event::Directory(at)),
            Some(_) if fails || flags & libc::O_PATH != 0 => self.looked(at, follows),
            Some(found) if writes && found.is_file() => {
                let keeps = flags & libc::O_TRUNC == 0;
                if keeps && flags & libc::O_ACCMODE == libc::O_RDWR {
                    self.notes.add(Event::Read(at.clone()));
                }
                self.notes.add(Event::Written { at, keeps });
            }
            Some(found) if self.notes.is_of_job_server(&found) => {}
            Some(found) if found.file_type().is_socket() || found.file_type().is_fifo() => {
                return Err(Unseen("it talks to others through a named pipe"));
            }
            Some(_) => self.notes.add(Event::Read(at)),
        }
        Ok(())
    }

    fn look(&mut self, directory: i32, argument: usize, follows: bool) -> Result<(), Unseen> {
        if let Some(at) = self.at(directory, argument, true)? {
            self.looked_at(at, follows)?;
        }
        Ok(())
    }

    fn looked_at(&mut self, at: At, follows: bool) -> Result<(), Unseen> {
        match there(&at.path, true)? {
            None => {
                // A link that leads nowhere is still a link.
                self.link_itself(&at, follows);
                self.notes.add(Event::Absent(at));
            }
            Some(found) if found.is_dir() => {
                self.link_itself(&at, follows);
                self.notes.add(Event::Directory(at));
            }
            Some(_) => self.looked(at, follows),
        }
        Ok(())
    }

    fn looked(&mut self, at: At, follows: bool) {
        self.link_itself(&at, follows);
        self.notes.add(Event::Looked(at));
    }

    /// Where the call is about a link and not about what that leads to.
    fn link_itself(&mut self, at: &At, follows: bool) {
        if !follows && let Ok(target) = fs::read_link(&at.path) {
            let at = self.notes.at(at.path.clone(), false);
            self.notes.add(Event::Link { at, target });
        }
    }

    fn execute(&mut self, directory: i32, argument: usize) -> Result<(), Unseen> {
        let Some(at) = self.at(directory, argument, true)? else {
            return Ok(());
        };
        let mut next = Some(at);
        for _ in 0..INTERPRETERS_MAX {
            let Some(at) = next.take() else { break };
            match there(&at.path, true)? {
                None => self.notes.add(Event::Absent(at)),
                Some(found) if found.is_file() => {
                    next = match interpreter(&at.path) {
                        Some(path) => Some(self.notes.at(self.arguments.directory()?.join(path), true)),
                        None => None,
                    };
                    self.notes.add(Event::Read(at));
                }
                Some(_) => self.notes.add(Event::Looked(at)),
            }
        }
        Ok(())
    }

    /// The names in a directory as they are when it is first listed.
    fn list(&mut self) -> Result<(), Unseen> {
        let Some(path) = self.arguments.opened(self.arguments.word(0)) else {
            return Ok(());
        };
        let at = self.notes.at(path, true);
        if self.notes.has_listed(&at.path) {
            return Ok(());
        }
        let listed =
            fs::read_dir(&at.path).map_err(|_| Unseen("it lists a directory that cannot be listed"))?;
        let names = listed.take(NAMES_MAX + 1).map(|entry| {
            let entry = entry?;
            Ok(kind_and_name(entry.file_type()?, &entry.file_name()))
        });
        let mut names: Vec<_> = names
            .collect::<std::io::Result<_>>()
            .map_err(|_| Unseen("it lists a directory that cannot be listed"))?;
        if names.len() > NAMES_MAX {
            return Err(Unseen("it lists a directory with too many names"));
        }
        names.sort_unstable();
        self.notes.add(Event::Listed { at, names });
        Ok(())
    }

    fn rename(&mut self, from: (i32, usize), to: (i32, usize)) -> Result<(), Unseen> {
        let (Some(from), Some(to)) = (self.at(from.0, from.1, false)?, self.at(to.0, to.1, false)?) else {
            return Ok(());
        };
        match there(&from.path, false)? {
            None => self.notes.add(Event::Absent(from)),
            Some(found) if found.is_file() => self.notes.add(Event::Renamed { from, to }),
            Some(_) => return Err(Unseen("it moves a directory")),
        }
        Ok(())
    }

    fn rename_unless_there(&mut self, from: (i32, usize), to: (i32, usize)) -> Result<(), Unseen> {
        let place = self.at(to.0, to.1, false)?;
        match place {
            Some(place) if there(&place.path, false)?.is_some() => {
                self.looked(place, false);
                Ok(())
            }
            Some(place) => {
                self.notes.add(Event::Absent(place));
                self.rename(from, to)
            }
            None => Ok(()),
        }
    }

    fn link(&mut self, from: (i32, usize), to: (i32, usize)) -> Result<(), Unseen> {
        let (Some(from), Some(to)) = (self.at(from.0, from.1, false)?, self.at(to.0, to.1, false)?) else {
            return Err(Unseen("it gives a name to a file that had none"));
        };
        match (there(&from.path, false)?, there(&to.path, false)?) {
            (None, _) => self.notes.add(Event::Absent(from)),
            (_, Some(_)) => self.notes.add(Event::Looked(to)),
            (Some(_), None) => self.notes.add(Event::Linked { from, to }),
        }
        Ok(())
    }

    fn remove(&mut self, directory: i32, argument: usize) -> Result<(), Unseen> {
        let Some(at) = self.at(directory, argument, false)? else {
            return Ok(());
        };
        match there(&at.path, false)? {
            None => self.notes.add(Event::Absent(at)),
            Some(found) if found.is_dir() => self.notes.add(Event::Directory(at)),
            Some(_) => self.notes.add(Event::Removed(at)),
        }
        Ok(())
    }

    fn remove_directory(&mut self, directory: i32, argument: usize) -> Result<(), Unseen> {
        let Some(at) = self.at(directory, argument, false)? else {
            return Ok(());
        };
        match there(&at.path, false)? {
            None => self.notes.add(Event::Absent(at)),
            Some(found) if !found.is_dir() => self.notes.add(Event::Looked(at)),
            // Otherwise the call will fail.
            Some(_) if fs::read_dir(&at.path).is_ok_and(|mut entries| entries.next().is_none()) => {
                self.notes.add(Event::RemovedDirectory(at));
            }
            Some(_) => self.notes.add(Event::Directory(at)),
        }
        Ok(())
    }

    fn make_directory(&mut self, directory: i32, argument: usize) -> Result<(), Unseen> {
        let Some(at) = self.at(directory, argument, false)? else {
            return Ok(());
        };
        match there(&at.path, true)? {
            Some(found) if found.is_dir() => self.notes.add(Event::Directory(at)),
            Some(_) => self.notes.add(Event::Looked(at)),
            // Where the directory above is not there either, the call will fail.
            None if at.path.parent().is_some_and(Path::is_dir) => self.notes.add(Event::MadeDirectory(at)),
            None => self.notes.add(Event::Absent(at)),
        }
        Ok(())
    }

    fn truncate(&mut self) -> Result<(), Unseen> {
        if let Some(at) = self.at(AT_FDCWD, 0, true)? {
            let keeps = self.arguments.number(1) != 0;
            self.notes.add(Event::Written { at, keeps });
        }
        Ok(())
    }

    /// To nothing, so that what was there does not count. Any other length was told when it was opened.
    fn truncate_open(&mut self) -> Result<(), Unseen> {
        if self.arguments.number(1) == 0
            && let Some(path) = self.arguments.opened(self.arguments.word(0))
        {
            let at = self.notes.at(path, true);
            self.notes.add(Event::Written { at, keeps: false });
        }
        Ok(())
    }

    fn change(&mut self, directory: i32, argument: usize, follows: bool) -> Result<(), Unseen> {
        let Some(at) = self.at(directory, argument, follows)? else {
            return Ok(());
        };
        match there(&at.path, follows)? {
            None => self.notes.add(Event::Absent(at)),
            Some(_) => self.notes.add(Event::Changed(at)),
        }
        Ok(())
    }

    fn change_open(&mut self, argument: usize) -> Result<(), Unseen> {
        if let Some(path) = self.arguments.opened(self.arguments.word(argument)) {
            let at = self.notes.at(path, true);
            self.notes.add(Event::Changed(at));
        }
        Ok(())
    }

    /// A socket of this machine at which nobody listens is no more than a file that is not there; libraries look for many.
    fn connect(&mut self) -> Result<(), Unseen> {
        let talks = Err(Unseen("it talks to others"));
        let length = usize::try_from(self.arguments.number(2)).unwrap_or_default();
        let address = self
            .arguments
            .bytes(1, length.min(size_of::<libc::sockaddr_un>()))?;
        let family = address
            .get(..2)
            .map(|family| u16::from_ne_bytes([family[0], family[1]]));
        let name = address.get(2..).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if family != Some(libc::AF_UNIX as u16) || name.is_empty() {
            return talks;
        }
        let path = PathBuf::from(OsString::from_vec(name.to_vec()));
        if !path.is_absolute() || there(&path, true)?.is_some() {
            return talks;
        }
        let at = self.notes.at(path, true);
        self.notes.add(Event::Absent(at));
        Ok(())
    }

    /// Standard input, read or (not `reads`) copied. It may be something of the command's own by now, or nothing at all.
    fn input(&mut self, reads: bool) -> Result<(), Unseen> {
        let now = fs::metadata(format!("/proc/{}/fd/0", self.arguments.process()));
        let (Ok(now), Ok(first)) = (now, fs::metadata("/proc/self/fd/0")) else {
            return Ok(());
        };
        let is_first = (now.dev(), now.ino()) == (first.dev(), first.ino());
        let is_null = first.file_type().is_char_device() && first.rdev() == NULL_DEVICE;
        // Whoever reads a terminal by another number does so on purpose.
        let is_terminal = first.file_type().is_char_device();
        match is_first && !is_null && (reads || !is_terminal) {
            true => Err(Unseen("it reads standard input")),
            false => Ok(()),
        }
    }
}

/// What is at a path; `None` if nothing is.
fn there(path: &Path, follows: bool) -> Result<Option<Metadata>, Unseen> {
    let found = match follows {
        true => fs::metadata(path),
        false => fs::symlink_metadata(path),
    };
    match found {
        Ok(found) => Ok(Some(found)),
        // What may not be looked at is not there for the command either.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(_) => Err(Unseen("it looks where nobody may look")),
    }
}
