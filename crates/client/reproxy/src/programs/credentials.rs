//! Who we say we are, before anything is started: a build that nobody lets in should fail at once.

use std::process::{Command, Stdio};

use reclient::flags::Flags;

use crate::programs::daemon_options::credentials_helper;

/// There is no way to say who we are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoCredentials {
    /// The exit code that reclient has for it.
    pub(crate) exit_code: u8,
    pub(crate) why: String,
}

const ADC: u8 = 10;
const EXTERNAL: u8 = 11;
const GCE: u8 = 12;
const FILE: u8 = 13;
const NOTHING: u8 = 14;

/// Checks that exactly one way was chosen and that it is one that works here. Nothing is needed without a server.
pub(crate) fn check(flags: &Flags) -> Result<(), NoCredentials> {
    let no = |exit_code, why: &str| {
        let why = why.to_owned();
        Err(NoCredentials { exit_code, why })
    };
    let is_local = flags.bool("remote_disabled") || flags.some_text("service").is_none();
    if is_local || flags.bool("service_no_auth") {
        return Ok(());
    }
    let other =
        "accounts of Google Cloud are not known here; use -credentials_helper, or -tls_client_auth_cert";
    if flags.path("credential_file").is_some() {
        return no(FILE, &format!("-credential_file: {other}"));
    }
    if flags.bool("use_application_default_credentials") {
        return no(ADC, &format!("-use_application_default_credentials: {other}"));
    }
    if flags.bool("use_gce_credentials") {
        return no(GCE, &format!("-use_gce_credentials: {other}"));
    }
    match credentials_helper(flags) {
        Some(helper) => {
            let words = flags.text("credentials_helper_args");
            let mut command = Command::new(&helper);
            command
                .args(words.split_whitespace())
                .stdin(Stdio::null())
                .stderr(Stdio::inherit());
            let output = command.output();
            let answer = match output {
                Ok(output) if output.status.success() => output.stdout,
                Ok(output) => {
                    return no(
                        EXTERNAL,
                        &format!("{} ended with {}", helper.display(), output.status),
                    );
                }
                Err(error) => return no(EXTERNAL, &format!("cannot execute {}: {error}", helper.display())),
            };
            match has_credentials(&answer) {
                true => Ok(()),
                false => no(
                    EXTERNAL,
                    &format!("{} printed neither token nor headers", helper.display()),
                ),
            }
        }
        None if flags.bool("use_external_auth_token") => {
            no(EXTERNAL, "-use_external_auth_token needs -credentials_helper")
        }
        None if flags.path("tls_client_auth_cert").is_some() => Ok(()),
        None => no(
            NOTHING,
            "nothing says who we are: use -service_no_auth, -credentials_helper or -tls_client_auth_cert",
        ),
    }
}

/// Both notations have one of these; the daemon reads all of it.
fn has_credentials(answer: &[u8]) -> bool {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let has_token = answer["token"].as_str().is_some_and(|token| !token.is_empty());
    let has_headers = answer["headers"]
        .as_object()
        .is_some_and(|headers| !headers.is_empty());
    has_token || has_headers
}

#[cfg(test)]
mod tests {
    use std::fs;

    use reclient::flags::tables::{BOOTSTRAP, CONNECTION, LOGGING};

    use super::*;
    use crate::programs::flag_words::Call;

    fn check_line(line: &str) -> Result<(), u8> {
        let call = Call {
            name: "bootstrap",
            usage: "",
            tables: &[LOGGING, CONNECTION, BOOTSTRAP],
        };
        let flags = call
            .read(line.split_whitespace().map(Into::into).collect())
            .unwrap();
        check(&flags).map_err(|error| error.exit_code)
    }

    #[test]
    fn each_way_has_its_exit_code() {
        let cases = [
            ("", Ok(())),
            ("-service=s:1", Err(14)),
            ("-service=s:1 -remote_disabled", Ok(())),
            ("-service=s:1 -service_no_auth", Ok(())),
            ("-service=s:1 -tls_client_auth_cert=/c", Ok(())),
            ("-service=s:1 -use_application_default_credentials", Err(10)),
            ("-service=s:1 -use_external_auth_token", Err(11)),
            ("-service=s:1 -use_gce_credentials", Err(12)),
            ("-service=s:1 -credential_file=/f", Err(13)),
            ("-service=s:1 -credentials_helper=/there/is/none", Err(11)),
            ("-service=s:1 -credentials_helper=false", Err(11)),
        ];
        for (line, expected) in cases {
            assert_eq!(check_line(line), expected, "{line}");
        }
    }

    #[test]
    fn a_helper_is_asked() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("helper");
        let line = format!(
            "-service=s:1 -credentials_helper=/bin/sh -credentials_helper_args={}",
            script.display()
        );
        let cases = [
            (r#"{"token":"t","headers":{},"expiry":"x"}"#, Ok(())),
            (r#"{"headers":{"Authorization":["Bearer t"]}}"#, Ok(())),
            (r#"{"token":""}"#, Err(11)),
            ("nonsense", Err(11)),
        ];
        for (answer, expected) in cases {
            fs::write(&script, format!("echo '{answer}'\n")).unwrap();
            assert_eq!(check_line(&line), expected, "{answer}");
        }
    }
}
