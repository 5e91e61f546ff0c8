//! `farrier cas ls`.

use std::fmt::Write;

use anyhow::{Result, bail};
use merkle::{Entry, InputTree};

use super::LsOptions;
use crate::commands::output::print;
use crate::commands::trees;

pub(super) async fn ls(options: LsOptions) -> Result<()> {
    let server = options.server.connect().await?;
    let digest = options.digest.resolve(server.function)?;
    let (_, tree) = trees::fetch(&*server.store, digest).await?;
    let listing = listing(&tree)?;
    if listing.is_empty() {
        // On standard error: whoever counts lines gets none.
        eprintln!("farrier: {digest} is an empty directory");
    }
    print(&listing)?;
    match tree.missing().len() {
        0 => Ok(()),
        missing => bail!("{missing} directories are not on the server; they are marked `?`"),
    }
}

/// Mode, size, digest and path of every node, one in a line.
fn listing(tree: &InputTree) -> Result<String> {
    let mut lines = String::new();
    for (path, entry) in tree.entries()? {
        let line = match entry {
            Entry::Directory(node) => {
                let mode = if tree.missing().contains(&node.digest) {
                    "d?????????"
                } else {
                    "drwxr-xr-x"
                };
                format!("{mode} {:>12} {} {path}/", "-", node.digest)
            }
            Entry::File(node) => {
                let mode = if node.is_executable {
                    "-rwxr-xr-x"
                } else {
                    "-rw-r--r--"
                };
                format!("{mode} {:>12} {} {path}", node.digest.size_bytes(), node.digest)
            }
            Entry::Symlink(node) => format!("lrwxrwxrwx {:>12} - {path} -> {}", "-", node.target.as_str()),
        };
        // Names may hold anything but a slash, also what would look like another line or command a terminal.
        let shown = line
            .chars()
            .map(|character| if character.is_control() { '?' } else { character });
        lines.extend(shown);
        writeln!(lines)?;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use blob::{Digest, DigestFunction};
    use expect_test::expect;
    use merkle::TreeBuilder;

    use super::*;

    #[test]
    fn every_kind_has_its_line() {
        let function = DigestFunction::Sha256;
        let mut tree = TreeBuilder::new();
        tree.insert_file("src/main.c", Digest::of(function, b"int main;"), false)
            .unwrap();
        tree.insert_file("tool", Digest::of(function, b"x"), true)
            .unwrap();
        tree.insert_symlink("link", "src/main.c").unwrap();
        tree.insert_file("odd\n\x1b[2Jname", Digest::empty(function), false)
            .unwrap();
        let tree = tree.build(function).unwrap().into_tree();
        expect![[r#"
            -rw-r--r--            0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0 odd??[2Jname
            -rwxr-xr-x            1 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881/1 tool
            lrwxrwxrwx            - - link -> src/main.c
            drwxr-xr-x            - dd216c00e3e39491cd227fbbe872e57a9eed4e943dbe7945f62c914277d244aa/80 src/
            -rw-r--r--            9 d0044c695f618c01506cfe1ea63eb15ba1150c21fcc302d40acea345fd4710fa/9 src/main.c
        "#]].assert_eq(&listing(tree.as_input_tree()).unwrap());
    }
}
