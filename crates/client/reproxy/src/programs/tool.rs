//! `reproxytool`: looks at what is on the server. What it can do, `farrier` does.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use reclient::flags::Flags;
use reclient::flags::tables::{CONNECTION, LOGGING, REPROXYTOOL};

use crate::programs::daemon_options::with_scheme;
use crate::programs::flag_words::Call;

const CALL: Call = Call {
    name: "reproxytool",
    usage: "reproxytool --operation=OPERATION [-flags]",
    tables: &[LOGGING, CONNECTION, REPROXYTOOL],
};

/// Operations of reclient's program that have none of ours.
const NOT_HERE: [&str; 5] = [
    "download_action",
    "download_action_result",
    "execute_action",
    "check_determinism",
    "usage_to_csv",
];

/// Everything that reproxytool does. `words` are those after the program's name.
pub fn main(words: Vec<OsString>) -> ExitCode {
    let flags = match CALL.read(words) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let arguments = match arguments(&flags) {
        Ok(arguments) => arguments,
        Err(why) => return CALL.wrong(&why),
    };
    let farrier = match CALL.farrier() {
        Ok(farrier) => farrier,
        Err(code) => return code,
    };
    let error = Command::new(&farrier).args(arguments).exec();
    CALL.wrong(&format!("cannot execute {}: {error}", farrier.display()))
}

/// The call of `farrier` that does it.
fn arguments(flags: &Flags) -> Result<Vec<OsString>, String> {
    let operation = flags.text("operation");
    let digest = || {
        flags
            .some_text("digest")
            .map(OsString::from)
            .ok_or("-digest is missing".to_owned())
    };
    let path = || {
        flags
            .path("path")
            .map(OsString::from)
            .ok_or("-path is missing".to_owned())
    };
    let (command, rest): ([&str; 2], Vec<OsString>) = match operation.as_str() {
        "show_action" => (["action", "show"], vec![digest()?]),
        "download_blob" => match flags.path("path") {
            Some(path) => (["cas", "get"], vec![digest()?, "--output".into(), path.into()]),
            None => (["cas", "get"], vec![digest()?]),
        },
        "download_dir" => (["cas", "get"], vec![digest()?, "--tree".into(), path()?]),
        "upload_blob" | "upload_dir" => (["cas", "put"], vec![path()?]),
        known if NOT_HERE.contains(&known) => {
            return Err(format!(
                "{known} is not here; see `farrier action show` and `farrier exec`"
            ));
        }
        other => return Err(format!("-operation {other:?} is not known")),
    };
    let unused = [
        "symlink_behavior",
        "overwrite",
        "action_root",
        "exec_attempts",
        "json",
        "log_path",
    ];
    if let Some(name) = unused.iter().find(|name| flags.is_said(name)) {
        return Err(format!("{operation} does not take -{name} here"));
    }
    let mut arguments: Vec<OsString> = command.map(OsString::from).into();
    let mut tell = |option: &str, value: OsString| arguments.extend([option.into(), value]);
    if let Some(service) = flags.some_text("service") {
        tell(
            "--endpoint",
            with_scheme(&service, flags.bool("service_no_security")).into(),
        );
    }
    if let Some(instance) = flags.some_text("instance") {
        tell("--instance", instance.into());
    }
    if let Some(authorities) = flags.path("tls_ca_cert") {
        tell("--tls-ca", authorities.into());
    }
    arguments.extend(rest);
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<&str, &str>) {
        let flags = CALL
            .read(line.split_whitespace().map(OsString::from).collect())
            .unwrap();
        let found = arguments(&flags).map(|words| {
            let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
            words.join(" ")
        });
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{line}");
    }

    #[test]
    fn operations_are_farrier_s() {
        let server = "-service=s:1 -service_no_security -instance=i";
        let ours = "--endpoint grpc://s:1 --instance i";
        check(
            &format!("{server} --operation=show_action --digest=ab/1"),
            Ok(&format!("action show {ours} ab/1")),
        );
        check("--operation=download_blob --digest=ab/1", Ok("cas get ab/1"));
        check(
            "--operation=download_blob --digest=ab/1 --path=f",
            Ok("cas get ab/1 --output f"),
        );
        check(
            "--operation=download_dir --digest=ab/1 --path=d -service=s:1 -tls_ca_cert=c",
            Ok("cas get --endpoint grpcs://s:1 --tls-ca c ab/1 --tree d"),
        );
        check("--operation=upload_blob --path=f", Ok("cas put f"));
        check("--operation=upload_dir --path=d", Ok("cas put d"));
        check("--operation=show_action", Err("-digest is missing"));
        check("--operation=upload_dir", Err("-path is missing"));
        check(
            "--operation=download_dir --digest=ab/1 --path=d --overwrite",
            Err("download_dir does not take -overwrite here"),
        );
        check(
            "--operation=execute_action",
            Err("execute_action is not here; see `farrier action show` and `farrier exec`"),
        );
        check("", Err("-operation \"\" is not known"));
    }
}
