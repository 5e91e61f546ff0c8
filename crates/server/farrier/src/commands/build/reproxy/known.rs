//! What is known of a command besides how it ended, in reclient's words: how much it was, and how long what took.

use std::collections::BTreeMap;
use std::time::SystemTime;

use daemon::{Phase, Span, Volume};
use reclient_api::cmd::TimeInterval;
use reclient_api::log::RemoteMetadata;

/// How much it was. What nobody has counted is left out, as it is where there is nothing.
pub(super) fn sizes(volume: &Volume) -> RemoteMetadata {
    let Volume {
        inputs,
        command,
        output_files,
        output_directories,
        output_bytes,
        output,
        error_output,
        uploaded_bytes,
        downloaded_bytes,
    } = volume;
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let of_inputs = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    let bytes = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let digests = output_files
        .iter()
        .map(|(name, (digest, _))| (name.clone(), digest.clone()));
    let programs = output_files
        .iter()
        .map(|(name, (_, is_executable))| (name.clone(), *is_executable));
    RemoteMetadata {
        num_input_files: of_inputs(inputs.files),
        num_input_directories: of_inputs(inputs.directories),
        total_input_bytes: bytes(inputs.bytes),
        command_digest: command.clone().unwrap_or_default(),
        num_output_files: count(output_files.len()),
        num_output_directories: count(output_directories.len()),
        total_output_bytes: bytes(*output_bytes),
        // How well it was compressed on the way nobody says.
        logical_bytes_uploaded: bytes(*uploaded_bytes),
        real_bytes_uploaded: bytes(*uploaded_bytes),
        logical_bytes_downloaded: bytes(*downloaded_bytes),
        real_bytes_downloaded: bytes(*downloaded_bytes),
        output_file_digests: digests.collect(),
        output_directory_digests: output_directories.clone(),
        output_file_is_executable: programs.collect(),
        stdout_digest: output.clone().unwrap_or_default(),
        stderr_digest: error_output.clone().unwrap_or_default(),
        ..RemoteMetadata::default()
    }
}

/// How long what took elsewhere, by reclient's names.
pub(super) fn times_elsewhere(begun: SystemTime, spans: &[Span]) -> BTreeMap<String, TimeInterval> {
    times(begun, spans, |phase| match phase {
        Phase::LookUp => &["CheckActionCache"],
        Phase::Upload => &["UploadInputs"],
        Phase::Queue => &["ExecuteRemotely", "ServerQueued"],
        Phase::Worker => &["ExecuteRemotely", "ServerWorkerExecution"],
        Phase::Download => &["DownloadResults"],
        Phase::Planning | Phase::Writing | Phase::Slot | Phase::Here | Phase::Keeping => &[],
    })
}

/// The same of this machine.
pub(super) fn times_here(begun: SystemTime, spans: &[Span]) -> BTreeMap<String, TimeInterval> {
    times(begun, spans, |phase| match phase {
        Phase::Planning => &["ProcessInputs"],
        Phase::Slot => &["LocalCommandQueued"],
        Phase::Here => &["LocalCommandExecution"],
        Phase::LookUp
        | Phase::Upload
        | Phase::Queue
        | Phase::Worker
        | Phase::Download
        | Phase::Writing
        | Phase::Keeping => &[],
    })
}

/// From the first of each name to the last.
fn times(
    begun: SystemTime,
    spans: &[Span],
    names: impl Fn(Phase) -> &'static [&'static str],
) -> BTreeMap<String, TimeInterval> {
    let mut times: BTreeMap<String, TimeInterval> = BTreeMap::new();
    for span in spans {
        let (from, to) = (begun + span.begun, begun + span.begun + span.took);
        for name in names(span.phase) {
            let interval = times.entry((*name).to_owned()).or_insert_with(|| TimeInterval {
                from: Some(from.into()),
                to: None,
            });
            interval.to = Some(to.into());
        }
    }
    times
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use daemon::Inputs;

    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let volume = Volume {
            inputs: Inputs {
                files: 3,
                directories: 2,
                bytes: 70,
            },
            command: Some("c/1".to_owned()),
            output_files: [
                ("a.d".to_owned(), ("d/5".to_owned(), false)),
                ("a.o".to_owned(), ("o/9".to_owned(), true)),
            ]
            .into(),
            output_directories: [("gen".to_owned(), "t/4".to_owned())].into(),
            output_bytes: 18,
            output: Some("s/4".to_owned()),
            error_output: None,
            uploaded_bytes: 40,
            downloaded_bytes: 14,
        };
        let told = sizes(&volume);
        let counts = (
            told.num_input_files,
            told.num_input_directories,
            told.num_output_files,
            told.num_output_directories,
        );
        assert_eq!(counts, (3, 2, 2, 1));
        assert_eq!((told.total_input_bytes, told.total_output_bytes), (70, 18));
        assert_eq!((told.real_bytes_uploaded, told.logical_bytes_uploaded), (40, 40));
        assert_eq!(
            (told.real_bytes_downloaded, told.logical_bytes_downloaded),
            (14, 14)
        );
        assert_eq!(told.output_file_digests["a.o"], "o/9");
        assert_eq!(told.output_directory_digests["gen"], "t/4");
        assert!(told.output_file_is_executable["a.o"] && !told.output_file_is_executable["a.d"]);
        assert_eq!((&*told.stdout_digest, &*told.stderr_digest), ("s/4", ""));
        assert_eq!(told.command_digest, "c/1");
        assert_eq!(sizes(&Volume::default()), RemoteMetadata::default());
    }

    #[test]
    fn times_have_reclient_s_names() {
        let second = Duration::from_secs(1);
        let span = |phase, begun: u32| Span {
            phase,
            begun: begun * second,
            took: second,
        };
        let spans = [
            span(Phase::Planning, 0),
            span(Phase::LookUp, 1),
            span(Phase::Queue, 2),
            span(Phase::Worker, 3),
            span(Phase::Here, 4),
        ];
        let begun = SystemTime::UNIX_EPOCH;
        let seconds = |times: BTreeMap<String, TimeInterval>| {
            let seconds = |(name, times): (String, TimeInterval)| {
                let [from, to] = [times.from, times.to].map(|time| time.map(|time| time.seconds));
                format!("{name} {}-{}", from.unwrap_or(-1), to.unwrap_or(-1))
            };
            times.into_iter().map(seconds).collect::<Vec<_>>()
        };
        assert_eq!(
            seconds(times_elsewhere(begun, &spans)),
            [
                "CheckActionCache 1-2",
                "ExecuteRemotely 2-4",
                "ServerQueued 2-3",
                "ServerWorkerExecution 3-4"
            ]
        );
        assert_eq!(
            seconds(times_here(begun, &spans)),
            ["LocalCommandExecution 4-5", "ProcessInputs 0-1"]
        );
    }
}
