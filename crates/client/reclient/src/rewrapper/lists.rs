//! Lists of inputs and outputs, in files: whoever is asked gets what they name.

use std::fs;
use std::path::PathBuf;

use settings::Settings;

use crate::rsp;

/// The largest list that is read.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// The same settings with what the lists name instead of the lists.
pub fn with_lists(settings: &Settings) -> Result<Settings, String> {
    let mut settings = settings.clone();
    let inputs = std::mem::take(&mut settings.input_list_paths);
    settings.inputs.extend(named(&inputs)?);
    let outputs = std::mem::take(&mut settings.output_list_paths);
    settings.output_files.extend(named(&outputs)?);
    Ok(settings)
}

fn named(lists: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut paths = Vec::new();
    for list in lists {
        let cannot = |why: String| format!("cannot read {}: {why}", list.display());
        let size = fs::metadata(list)
            .map_err(|error| cannot(error.to_string()))?
            .len();
        if size > LIST_BYTES_MAX {
            return Err(cannot(format!("it has more than {LIST_BYTES_MAX} bytes")));
        }
        let text = fs::read(list).map_err(|error| cannot(error.to_string()))?;
        paths.extend(rsp::words(&text).into_iter().map(PathBuf::from));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_gone() {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("list");
        fs::write(&list, "a 'b c'\n").unwrap();
        let settings = Settings {
            inputs: vec!["first".into()],
            input_list_paths: vec![list.clone()],
            output_list_paths: vec![list],
            ..Settings::default()
        };
        let expected = Settings {
            inputs: ["first", "a", "b c"].map(PathBuf::from).into(),
            output_files: ["a", "b c"].map(PathBuf::from).into(),
            ..Settings::default()
        };
        assert_eq!(with_lists(&settings), Ok(expected));
        let settings = Settings {
            input_list_paths: vec!["/no/such/list".into()],
            ..Settings::default()
        };
        let error = with_lists(&settings).unwrap_err();
        assert!(error.starts_with("cannot read /no/such/list: "), "{error}");
    }
}
