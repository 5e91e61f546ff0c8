//! What a worker saw, against what was expected: pure but for a look at what is here.

use std::path::Path;

use worker_api::v1::ObservedInputs;

use super::prediction::{Here, Prediction, add, path};

/// What is to be believed of a run on a worker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It looked at nothing but what was expected, so it saw what it would have seen here.
    Holds,
    /// It looked at more, and with that it has to run again: something of it is here, and was not there.
    Again(Prediction),
    /// It cannot be said what it would do here.
    No(&'static str),
}

/// Judges a run by what the worker says of it. `root` is where the tree begins.
pub(crate) fn judge(
    prediction: &Prediction,
    observed: Option<&ObservedInputs>,
    root: &Path,
    here: &dyn Fn(&Path) -> Here,
) -> Verdict {
    let Some(observed) = observed.filter(|observed| observed.unobserved_reason.is_empty()) else {
        return Verdict::No(CANNOT_TELL);
    };
    if observed.truncated {
        return Verdict::No("it looks at more than a worker tells");
    }
    if !observed.undeclared_writes.is_empty() || !observed.undeclared_removals.is_empty() {
        return Verdict::No("on a worker it leaves something else");
    }
    let mut more = prediction.clone();
    let at = |name: &String| match name.as_str() {
        "" => root.to_owned(),
        name => root.join(name),
    };
    for place in observed.files_read.iter().map(at) {
        if prediction.makes(&place) {
            return Verdict::No("it reads what it then writes");
        }
        add(&mut more.files, &place);
    }
    for place in observed.directories_listed.iter().map(at) {
        add(&mut more.listed, &place);
    }
    for place in observed.lookups_failed.iter().map(at) {
        if prediction.makes(&place) {
            continue;
        }
        match here(&place) {
            Here::Nothing => add(&mut more.absent, &place),
            Here::File => {
                more.absent.retain(|absent| path(absent) != place);
                add(&mut more.files, &place);
            }
            Here::Directory => {
                more.absent.retain(|absent| path(absent) != place);
                add(&mut more.directories, &place);
            }
        }
    }
    match more == *prediction {
        true => Verdict::Holds,
        false => Verdict::Again(more),
    }
}

/// Said where workers see nothing: no further one need be asked.
pub(crate) const CANNOT_TELL: &str = "a worker cannot tell what a command looks at";

impl Prediction {
    /// The same, for a time when some of the files are not there.
    pub(crate) fn without_absent_files(&self, here: &dyn Fn(&Path) -> Here) -> Prediction {
        let mut adapted = self.clone();
        adapted.files.retain(|file| here(path(file)) != Here::Nothing);
        let gone = self.files.iter().map(|file| path(file));
        for file in gone.filter(|file| here(file) == Here::Nothing) {
            add(&mut adapted.absent, file);
        }
        adapted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(names: &[&str]) -> Vec<Vec<u8>> {
        names.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn prediction() -> Prediction {
        Prediction {
            files: places(&["/r/a", "/usr/bin/tool"]),
            absent: places(&["/r/n"]),
            listed: places(&["/r"]),
            products: places(&["/r/out/o"]),
            made_directories: places(&["/r/out"]),
            ..Prediction::default()
        }
    }

    /// What is here: a file `f`, a directory `d`, and what the command makes.
    fn judged(observed: Option<&ObservedInputs>) -> Verdict {
        judge(&prediction(), observed, Path::new("/r"), &|place| match place
            .file_name()
            .and_then(|name| name.to_str())
        {
            Some("f" | "o") => Here::File,
            Some("d" | "out") => Here::Directory,
            _ => Here::Nothing,
        })
    }

    #[test]
    fn a_run_that_saw_what_was_expected_holds() {
        let seen = ObservedInputs {
            files_read: strings(&["a"]),
            directories_listed: strings(&[""]),
            lookups_failed: strings(&["n", "out", "out/o"]),
            ..ObservedInputs::default()
        };
        assert_eq!(judged(Some(&seen)), Verdict::Holds);
        assert_eq!(judged(Some(&ObservedInputs::default())), Verdict::Holds);
    }

    #[test]
    fn what_more_it_looked_at_has_to_be_there() {
        let check = |seen: ObservedInputs, change: fn(&mut Prediction)| {
            let mut expected = prediction();
            change(&mut expected);
            assert_eq!(judged(Some(&seen)), Verdict::Again(expected));
        };
        let failed = |names: &[&str]| ObservedInputs {
            lookups_failed: strings(names),
            ..ObservedInputs::default()
        };
        check(failed(&["f"]), |more| {
            more.files = places(&["/r/a", "/r/f", "/usr/bin/tool"])
        });
        check(failed(&["n/f"]), |more| {
            more.files = places(&["/r/a", "/r/n/f", "/usr/bin/tool"])
        });
        check(failed(&["d"]), |more| more.directories = places(&["/r/d"]));
        check(failed(&["m"]), |more| more.absent = places(&["/r/m", "/r/n"]));
        let seen = ObservedInputs {
            files_read: strings(&["a", "listed"]),
            directories_listed: strings(&["sub"]),
            ..ObservedInputs::default()
        };
        check(seen, |more| {
            more.files = places(&["/r/a", "/r/listed", "/usr/bin/tool"]);
            more.listed = places(&["/r", "/r/sub"]);
        });
    }

    #[test]
    fn files_that_have_gone_are_looked_for_in_vain() {
        let adapted = prediction().without_absent_files(&|place| match place.ends_with("a") {
            true => Here::Nothing,
            false => Here::File,
        });
        let expected = Prediction {
            files: places(&["/usr/bin/tool"]),
            absent: places(&["/r/a", "/r/n"]),
            ..prediction()
        };
        assert_eq!(adapted, expected);
    }

    #[test]
    fn what_a_worker_does_not_say_is_not_believed() {
        let check = |seen: Option<ObservedInputs>| {
            assert!(matches!(judged(seen.as_ref()), Verdict::No(_)), "{seen:?}");
        };
        check(None);
        check(Some(ObservedInputs {
            unobserved_reason: "no FUSE".to_owned(),
            ..ObservedInputs::default()
        }));
        check(Some(ObservedInputs {
            truncated: true,
            ..ObservedInputs::default()
        }));
        check(Some(ObservedInputs {
            undeclared_writes: strings(&["log"]),
            ..ObservedInputs::default()
        }));
        check(Some(ObservedInputs {
            files_read: strings(&["out/o"]),
            ..ObservedInputs::default()
        }));
        check(Some(ObservedInputs {
            undeclared_removals: strings(&["a"]),
            ..ObservedInputs::default()
        }));
    }
}
