//! Stands for a compiler, a linker or nm in `bench/kernel`, called by its name: says again what a call said the last time and
//! copies what it made, or has the real one do it and keeps that. It asks nobody and looks at no input, so a build with it is
//! the floor under what any cache can do.
//!
//! `FINISHED_STORE` is where it keeps things, `FINISHED_PATH` where the real tools are.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

fn main() -> io::Result<ExitCode> {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let name = PathBuf::from(name.clone())
        .file_name()
        .map_or(name, OsString::from);
    let words: Vec<OsString> = words.collect();
    let mut real = Command::new(&name);
    real.args(&words).env("PATH", variable("FINISHED_PATH")?);
    // What is read from standard input belongs to no name.
    if words.iter().any(|word| word == "-") {
        return Err(real.exec());
    }
    let made = made(&words);
    let kept = Path::new(&variable("FINISHED_STORE")?).join(key(&name, &words)?);
    if !kept.exists() {
        keep(&real.output()?, &made, &kept)?;
    }
    for (number, product) in made.iter().enumerate() {
        let product_kept = kept.join(number.to_string());
        if product != Path::new("/dev/null") && product_kept.exists() {
            fs::copy(product_kept, product)?;
        }
    }
    io::stdout().write_all(&fs::read(kept.join("out"))?)?;
    io::stderr().write_all(&fs::read(kept.join("err"))?)?;
    Ok(ExitCode::from(
        fs::read(kept.join("code"))?.first().copied().unwrap_or(1),
    ))
}

fn variable(name: &str) -> io::Result<OsString> {
    std::env::var_os(name).ok_or_else(|| io::Error::other(format!("{name} is not set")))
}

/// The files that a call names as its products: the object, and the list of dependencies.
fn made(words: &[OsString]) -> Vec<PathBuf> {
    let after_o = words.iter().zip(words.iter().skip(1));
    let object = after_o
        .filter(|(word, _)| *word == "-o")
        .map(|(_, product)| product.into());
    let lists = words.iter().filter_map(|word| {
        let list = word.to_str()?.strip_prefix("-Wp,-M")?.split_once(',')?.1;
        Some(list.into())
    });
    object.chain(lists).collect()
}

/// Where a call is kept. Kbuild's questions write to directories with a process number in the name.
fn key(name: &OsString, words: &[OsString]) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    (std::env::current_dir()?, name).hash(&mut hasher);
    for word in words {
        match word.to_str().filter(|word| word.contains(".tmp_")) {
            Some(word) => word
                .replace(|letter: char| letter.is_ascii_digit(), "")
                .hash(&mut hasher),
            None => word.hash(&mut hasher),
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn keep(output: &Output, made: &[PathBuf], kept: &Path) -> io::Result<()> {
    // Complete under its name or not there at all: another call may look.
    let new = kept.with_extension(std::process::id().to_string());
    fs::create_dir_all(&new)?;
    for (number, product) in made.iter().enumerate() {
        if product.is_file() {
            fs::copy(product, new.join(number.to_string()))?;
        }
    }
    fs::write(new.join("out"), &output.stdout)?;
    fs::write(new.join("err"), &output.stderr)?;
    let code = output.status.code().and_then(|code| u8::try_from(code).ok());
    fs::write(new.join("code"), [code.unwrap_or(1)])?;
    fs::rename(&new, kept).or_else(|error| if kept.exists() { Ok(()) } else { Err(error) })
}
