//! Steps whose results are the same in every directory once the tree's own path is mapped away. Pure: words, texts and
//! bytes come in, nothing is opened.
//!
//! In such a result the root has gone from the product ([`Moved::map`]), and texts (make rules, diagnostics) are kept with
//! [`PLACEHOLDER`] in its place. Everything that is not certain to be so is no such step, and is known by its root as ever
//! (ADR 29).

use std::path::{Path, PathBuf};

use compiler::{Caution, Kind, Language, Step, Tool};

/// Stands for the root in what is kept. No tree may be there, and whoever names it is known by his root.
pub(crate) const PLACEHOLDER: &str = "/.farrier-root";

/// A part of what such results are known by. Changes with what they are like.
pub(super) const MARK: &[u8] = b"path independent 1";

/// The tree of a step whose result is the same in every other tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    root: String,
}

/// A step that may be one of these.
pub(super) struct Candidate<'a> {
    /// The root of its tree.
    pub(super) root: &'a str,
    pub(super) step: &'a Step,
    /// The command, the tool first.
    pub(super) arguments: &'a [String],
    /// What it sees of the environment.
    pub(super) environment: &'a [(String, String)],
    /// Everything that it reads, by absolute paths without `..`.
    pub(super) files: &'a [PathBuf],
}

/// Options with the path in the same word.
const JOINED: [&str; 11] = [
    "-include",
    "-imacros",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-MF",
    "-MT",
    "-MQ",
    "-I",
    "-L",
    "-o",
];

/// Options by which paths get into a product that no map changes, or into one where nobody would see them.
const NOT_MAPPED: [&str; 13] = [
    // The command line itself.
    "-frecord-",
    "-grecord-command-line",
    "-fembed-bitcode",
    "-fverbose-asm",
    // Names of sources, as they are given.
    "-fsanitize",
    // The name of what stands beside the product.
    "-gsplit-dwarf",
    // Hashes of names.
    "-funique-internal-linkage-names",
    "-fdebug-types-section",
    // Names in another form than bytes.
    "-gz",
    "-emit-llvm",
    "-flto",
    // Names of whatever is made.
    "-dump",
    "-save-temps",
];

/// Words within an option that are as good.
const NOT_MAPPED_WITHIN: [&str; 2] = ["-prefix-map", "compress-debug-sections"];

impl Moved {
    /// The tree that was at `root`, as it was written down.
    pub(crate) fn at(root: String) -> Self {
        Moved { root }
    }

    /// Where the tree is.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// The step, if its result is the same wherever its tree is; otherwise why that is not certain.
    pub(super) fn of(candidate: &Candidate<'_>) -> Result<Self, &'static str> {
        let Candidate {
            root,
            step,
            arguments,
            environment,
            files,
        } = candidate;
        check_root(root)?;
        check_kind(step)?;
        check_options(step)?;
        check_outputs(step)?;
        if step.texts.iter().any(|word| names(word.as_bytes(), root)) {
            return Err("an option says where the tree is");
        }
        if arguments.iter().any(|word| word == "--") {
            return Err("nothing can be said after `--`");
        }
        for word in *arguments {
            argument(word, root)?;
        }
        let values = environment.iter().map(|(_, value)| value.as_bytes());
        if values.clone().any(|value| names(value, root)) {
            return Err("a variable says where the tree is");
        }
        let words = arguments.iter().map(|word| word.as_bytes()).chain(values);
        if words.into_iter().any(|word| contains(word, PLACEHOLDER)) {
            return Err("the command names the placeholder");
        }
        // A map knows beginnings of names, not directories.
        let beside = |path: &PathBuf| {
            path.as_os_str().as_encoded_bytes().starts_with(root.as_bytes()) && !path.starts_with(root)
        };
        if files.iter().any(beside) {
            return Err("it reads a file beside the tree whose path begins as the tree's does");
        }
        if step.kind == Kind::Link && !step.inputs.iter().all(|path| is_linked_by_contents(path, root)) {
            return Err("it links a library of the tree by an absolute path");
        }
        Ok(Moved::at((*root).to_owned()))
    }

    /// The word that maps the root away, for a compiler.
    pub(super) fn map(&self) -> String {
        format!("-ffile-prefix-map={}=.", self.root)
    }

    /// A word of the command as the result is known by. Those of a step that is [`Moved`] all have such a form.
    pub(super) fn argument(&self, word: &str) -> Result<String, &'static str> {
        match word == self.map() {
            true => Ok(format!("-ffile-prefix-map={PLACEHOLDER}=.")),
            false => argument(word, &self.root),
        }
    }

    /// A text as it is kept.
    pub(crate) fn keep(&self, text: &[u8]) -> Result<Vec<u8>, &'static str> {
        if contains(text, PLACEHOLDER) {
            return Err("a text names the placeholder of the tree");
        }
        let mut kept = Vec::with_capacity(text.len());
        let mut from = 0;
        for (at, what) in occurrences(text, &self.root) {
            match what {
                Names::Another => {}
                Names::Root => {
                    kept.extend_from_slice(&text[from..at]);
                    kept.extend_from_slice(PLACEHOLDER.as_bytes());
                    from = at + self.root.len();
                }
                Names::Perhaps => return Err("a text names the tree in a way that is not understood"),
            }
        }
        kept.extend_from_slice(&text[from..]);
        Ok(kept)
    }

    /// A text that was kept, as it is here.
    pub(crate) fn show(&self, kept: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(kept.len());
        let mut from = 0;
        for at in find_all(kept, PLACEHOLDER.as_bytes()) {
            text.extend_from_slice(&kept[from..at]);
            text.extend_from_slice(self.root.as_bytes());
            from = at + PLACEHOLDER.len();
        }
        text.extend_from_slice(&kept[from..]);
        text
    }

    /// Fails for a product in which the root is after all.
    pub(crate) fn check(&self, product: &[u8]) -> Result<(), &'static str> {
        if names(product, &self.root) {
            return Err("the path of the tree is in the product");
        }
        // How a compiler makes a symbol of a name.
        let symbol: String = self.root.chars().map(in_symbol).collect();
        match symbol.len() >= SYMBOL_BYTES_MIN && contains(product, &symbol) {
            true => Err("the path of the tree is in a symbol of the product"),
            false => Ok(()),
        }
    }
}

/// Symbols hold shorter names than this for other reasons (`_src`).
const SYMBOL_BYTES_MIN: usize = 8;

fn in_symbol(character: char) -> char {
    match character {
        '/' | '-' | '+' => '_',
        other => other,
    }
}

/// Only letters that mean nothing to make, shells, maps of paths and whoever reads messages.
fn check_root(root: &str) -> Result<(), &'static str> {
    let is_plain = |byte: u8| byte == b'/' || is_of_name(byte);
    if root.len() < 2 || !root.starts_with('/') || !root.bytes().all(is_plain) {
        return Err("the path of the tree has other characters than letters, digits and _ . + - in it");
    }
    match Path::new(root).starts_with(PLACEHOLDER) {
        true => Err("the tree is where the placeholder points"),
        false => Ok(()),
    }
}

fn check_kind(step: &Step) -> Result<(), &'static str> {
    let is_gcc = step.tool == Tool::GccDriver;
    if !is_gcc && step.tool != Tool::ClangDriver {
        return Err("it is not known how this tool is told to map paths");
    }
    match step.kind {
        Kind::Compile | Kind::CompileToAssembly => {}
        // gcc passes the map on to its assembler; that of clang leaves names of sources as they are.
        Kind::Assemble if is_gcc || !step.embeds_directory => {}
        Kind::Link if step.sources.is_empty() || is_gcc || !is_assembly(step) => {}
        _ => return Err("the product of such a step has paths in it"),
    }
    if step.kind != Kind::Link && step.sources.len() != 1 {
        return Err("it has several products");
    }
    match step.is_instrumented {
        true => Err("it is instrumented: a run writes where the object says"),
        false => Ok(()),
    }
}

/// Assembly, or sources of several languages, among which there may be some.
fn is_assembly(step: &Step) -> bool {
    match step.language {
        Some(language) => matches!(language, Language::Assembler | Language::AssemblerWithCpp),
        None => true,
    }
}

fn check_options(step: &Step) -> Result<(), &'static str> {
    if !step.path_maps.is_empty() {
        return Err("it maps paths itself");
    }
    if step.caution.contains(&Caution::LinkTimeOptimization) {
        return Err("it is optimised when it is linked");
    }
    let is_not_mapped = |word: &String| {
        NOT_MAPPED.iter().any(|option| word.starts_with(option))
            || NOT_MAPPED_WITHIN.iter().any(|part| word.contains(part))
    };
    match step.texts.iter().any(is_not_mapped) {
        true => Err("an option puts paths into the product that are not mapped"),
        false => Ok(()),
    }
}

/// A product and a make rule, nothing else.
fn check_outputs(step: &Step) -> Result<(), &'static str> {
    let products = step
        .outputs
        .iter()
        .filter(|output| step.depfile.as_ref() != Some(&output.path));
    match products.count() <= 1 {
        true => Ok(()),
        false => Err("it makes more than a product and a make rule"),
    }
}

/// Whether nothing of the input's name gets into what is linked: a shared library without a name of its own is known by
/// its path, and a script may say anything.
fn is_linked_by_contents(path: &Path, root: &str) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    !path.starts_with(root) || matches!(ending, Some("o" | "a"))
}

/// A word with the placeholder in the root's place, where it is a path or an option with one.
fn argument(word: &str, root: &str) -> Result<String, &'static str> {
    let option = JOINED.iter().find(|option| word.starts_with(**option));
    let (option, value) = word.split_at(option.map_or(0, |option| option.len()));
    let below = value
        .strip_prefix(root)
        .filter(|below| below.is_empty() || below.starts_with('/'));
    let (beginning, rest) = match below {
        Some(below) => (PLACEHOLDER, below),
        None => ("", value),
    };
    match names(rest.as_bytes(), root) {
        true => Err("a word of the command names the tree in a way that is not understood"),
        false => Ok(format!("{option}{beginning}{rest}")),
    }
}

/// What bytes that read as the root are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// The root, or the beginning of a path below it.
    Root,
    /// A part of another name.
    Another,
    /// The one or the other.
    Perhaps,
}

/// Whether the root is named, or may be.
pub(super) fn names(bytes: &[u8], root: &str) -> bool {
    occurrences(bytes, root).any(|(_, what)| what != Names::Another)
}

/// Every place where bytes read as the root.
fn occurrences<'a>(bytes: &'a [u8], root: &'a str) -> impl Iterator<Item = (usize, Names)> + 'a {
    let what = |at: usize| match (before(&bytes[..at]), after(&bytes[at + root.len()..])) {
        (Names::Another, _) | (_, Names::Another) => Names::Another,
        (Names::Perhaps, _) | (_, Names::Perhaps) => Names::Perhaps,
        (Names::Root, Names::Root) => Names::Root,
    };
    find_all(bytes, root.as_bytes()).map(move |at| (at, what(at)))
}

/// What stands before a path says of it.
fn before(bytes: &[u8]) -> Names {
    let is_name = |byte: &u8| is_of_name(*byte);
    match bytes.last() {
        // `//`: at the beginning of an address, or in a path.
        Some(b'/') => Names::Perhaps,
        Some(last) if is_name(last) => {
            let start = bytes.iter().rposition(|byte| !is_name(byte));
            let (earlier, run) = bytes.split_at(start.map_or(0, |start| start + 1));
            match run {
                _ if ends_colour(earlier, run) => Names::Root,
                // `-I/root`.
                [b'-', ..] => Names::Perhaps,
                _ => Names::Another,
            }
        }
        _ => Names::Root,
    }
}

/// Whether this is the end of what turns a terminal's colours on or off (`ESC [ 01;36 m`, `ESC [ K`).
fn ends_colour(earlier: &[u8], run: &[u8]) -> bool {
    let Some((b'm' | b'K', parameters)) = run.split_last() else {
        return false;
    };
    let is_parameter = |byte: &u8| byte.is_ascii_digit() || *byte == b';';
    let opening = earlier.iter().rposition(|byte| !is_parameter(byte));
    parameters.iter().all(is_parameter) && opening.is_some_and(|at| earlier[..=at].ends_with(b"\x1b["))
}

/// What stands behind a path says of it.
fn after(bytes: &[u8]) -> Names {
    match bytes {
        // The end of a sentence.
        [b'.'] => Names::Root,
        [b'.', next, ..] if !is_of_name(*next) && *next != b'/' => Names::Root,
        [next, ..] if is_of_name(*next) => Names::Another,
        _ => Names::Root,
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-')
}

fn contains(bytes: &[u8], part: &str) -> bool {
    find_all(bytes, part.as_bytes()).next().is_some()
}

/// Where `part` is, from the left, none within another. There is always something to find.
fn find_all<'a>(bytes: &'a [u8], part: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + find(&bytes[from..], part)?;
        from = at + part.len();
        Some(at)
    })
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    let (first, rest) = part.split_first()?;
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| byte == first)?;
        from = at + 1;
        if bytes[from..].starts_with(rest) {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests;
