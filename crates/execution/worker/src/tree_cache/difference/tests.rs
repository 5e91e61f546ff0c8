use std::collections::BTreeMap;

use blob::{Digest, DigestFunction};
use merkle::{TreeBuilder, Walk};
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::*;

const F: DigestFunction = DigestFunction::Sha256;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File(u8),
    Symlink(u8),
}

type Paths = BTreeMap<String, Kind>;

fn tree(paths: &Paths) -> InputTree {
    let mut builder = TreeBuilder::new();
    for (path, kind) in paths {
        match kind {
            Kind::Directory => builder.insert_directory(path).unwrap(),
            Kind::File(content) => builder
                .insert_file(path, Digest::of(F, &[*content]), content % 2 == 0)
                .unwrap(),
            Kind::Symlink(target) => builder.insert_symlink(path, &format!("to{target}")).unwrap(),
        }
    }
    let built = builder.build(F).unwrap();
    let mut walk = Walk::new(built.root);
    for (digest, directory) in built.directories {
        if !digest.is_empty() {
            walk.supply(digest, directory).unwrap();
        }
    }
    walk.finish().unwrap()
}

/// Every path with what is there, as overlayfs shows it: `base` with the steps of a layout above it. The second answer
/// are the private files.
fn seen(base: &InputTree, layout: &Layout) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let mut seen: BTreeMap<String, String> = listed(base);
    let mut private = BTreeSet::new();
    let hide_below = |seen: &mut BTreeMap<String, String>, path: &str| {
        let below = format!("{path}/");
        seen.retain(|other, _| other != path && !other.starts_with(&below));
    };
    for step in layout.steps() {
        match step {
            // Merged with a directory that is below; anything else there is hidden.
            Step::Directory { path } => {
                if seen.get(path).is_none_or(|there| there != "directory") {
                    hide_below(&mut seen, path);
                    seen.insert(path.clone(), "directory".to_owned());
                }
            }
            Step::File {
                path,
                file,
                is_private,
            } => {
                hide_below(&mut seen, path);
                seen.insert(path.clone(), format!("{} {}", file.digest, file.is_executable));
                if *is_private {
                    private.insert(path.clone());
                }
            }
            Step::Symlink { path, target } => {
                hide_below(&mut seen, path);
                seen.insert(path.clone(), format!("-> {target}"));
            }
        }
    }
    for path in layout.absent() {
        hide_below(&mut seen, path);
    }
    (seen, private)
}

fn listed(tree: &InputTree) -> BTreeMap<String, String> {
    let text = |entry: Entry<'_>| match entry {
        Entry::Directory(_) => "directory".to_owned(),
        Entry::File(file) => format!("{} {}", file.digest, file.is_executable),
        Entry::Symlink(link) => format!("-> {}", link.target.as_str()),
    };
    tree.entries()
        .unwrap()
        .map(|(path, entry)| (path, text(entry)))
        .collect()
}

/// Paths that can be in one tree: no file has anything below it.
fn paths() -> impl Strategy<Value = Paths> {
    let path = proptest::collection::vec("[abc]", 1..4).prop_map(|names| names.join("/"));
    let kind = prop_oneof![
        Just(Kind::Directory),
        (0u8..4).prop_map(Kind::File),
        (0u8..2).prop_map(Kind::Symlink)
    ];
    btree_map(path, kind, 0..20).prop_map(|mut paths| {
        let leaves: Vec<String> = paths
            .iter()
            .filter(|(_, kind)| **kind != Kind::Directory)
            .map(|(path, _)| format!("{path}/"))
            .collect();
        paths.retain(|path, _| !leaves.iter().any(|leaf| path.starts_with(leaf)));
        paths
    })
}

proptest! {
    #[test]
    fn over_its_base_a_root_looks_like_itself(base in paths(), input in paths(), outputs in btree_set("[abc](/[abc])?", 0..3)) {
        let (base, input) = (tree(&base), tree(&input));
        let places = OutputPlaces { outputs: outputs.iter().cloned().collect(), parents: Vec::new() };
        let layout = difference(&base, &input, &places, 1000).unwrap();
        let (seen, private) = seen(&base, &layout);
        prop_assert_eq!(&seen, &listed(&input));
        let is_output = |path: &str| outputs.iter().any(|output| path == output || path.starts_with(&format!("{output}/")));
        let expected: BTreeSet<String> = input.entries().unwrap()
            .filter(|(path, entry)| matches!(entry, Entry::File(_)) && is_output(path))
            .map(|(path, _)| path)
            .collect();
        prop_assert_eq!(private, expected);
        // Each step can be done when its turn comes.
        let mut made = BTreeSet::from([String::new()]);
        for step in layout.steps() {
            let parent = step.path().rsplit_once('/').map_or("", |(parent, _)| parent);
            prop_assert!(made.contains(parent), "{:?}", layout);
            if let Step::Directory { path } = step { made.insert(path.clone()); }
        }
        for path in layout.absent() {
            prop_assert!(made.contains(path.rsplit_once('/').map_or("", |(parent, _)| parent)));
        }
    }

    #[test]
    fn nothing_has_to_be_done_for_the_same(input in paths()) {
        let input = tree(&input);
        prop_assert_eq!(difference(&input, &input, &OutputPlaces::default(), 0).unwrap().len(), 0);
    }
}

fn of(paths: &[(&str, Kind)]) -> InputTree {
    tree(
        &paths
            .iter()
            .map(|(path, kind)| ((*path).to_owned(), kind.clone()))
            .collect(),
    )
}

#[test]
fn only_what_changed_and_the_directories_above_it_are_touched() {
    let mut paths: Paths = (0..300)
        .flat_map(|directory| (0..16).map(move |file| (format!("d{directory}/f{file}"), Kind::File(0))))
        .collect();
    let base = tree(&paths);
    paths.insert("d7/f3".to_owned(), Kind::File(1));
    let layout = difference(&base, &tree(&paths), &OutputPlaces::default(), 2).unwrap();
    let steps: Vec<&str> = layout.steps().iter().map(Step::path).collect();
    assert_eq!((steps, layout.files().len()), (vec!["d7", "d7/f3"], 1));
    assert!(difference(&base, &tree(&paths), &OutputPlaces::default(), 1).is_none());
}

#[test]
fn parents_of_outputs_are_made_where_nothing_is() {
    let base = of(&[
        ("a/f", Kind::File(0)),
        ("old/f", Kind::File(0)),
        ("link", Kind::Symlink(0)),
    ]);
    let input = of(&[("a/f", Kind::File(0)), ("link", Kind::Symlink(0))]);
    let parents = |parents: &[&str]| {
        let places = OutputPlaces {
            outputs: Vec::new(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
        };
        difference(&base, &input, &places, 100).map(|layout| layout.output_parents().to_vec())
    };
    assert_eq!(parents(&["", "a"]), Some(vec![]));
    assert_eq!(
        parents(&["a/new/deep", "b"]),
        Some(vec!["a/new/deep".to_owned(), "b".to_owned()])
    );
    // A file and a symlink in the way: who lays all of it out says so.
    assert_eq!(parents(&["a/f/x"]), None);
    assert_eq!(parents(&["link"]), None);
    // Gone from the base: a directory made there would show what was in it.
    assert_eq!(parents(&["old"]), None);
}
