//! What the daemon was started with that every command is subject to, whatever it asks for.

use std::time::Duration;

use crate::wanted::Wanted;

/// Rules for all commands.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Results are shared only with those who have the same word here.
    pub silo: Option<String>,
    /// Nothing is taken from anywhere and nothing is kept: every command is for the real tool.
    pub is_remote_disabled: bool,
    /// How long it may take to look at what a command reads.
    pub input_timeout: Option<Duration>,
    /// What the delay of a run here is multiplied with, where a worker and this machine race; 0 to 10.
    pub racing_bias: Option<f64>,
    /// How much of this machine's processors commands may take that were to be done elsewhere; all of them if nobody says.
    pub local_fraction: Option<f64>,
    /// Whether the witness writes the record of a command where the command wants it.
    pub writes_action_logs: bool,
}

impl Rules {
    /// Makes what is wanted subject to them. What stands in the way of doing it at all is the answer.
    pub(crate) fn apply(&self, wanted: &mut Wanted) -> Option<&'static str> {
        if let Some(silo) = &self.silo {
            let own = wanted.settings.salt.take().unwrap_or_default();
            // Quoted, so that no salt of another silo's reads like it.
            wanted.settings.salt = Some(format!("{silo:?} {own}"));
        }
        if self.writes_action_logs {
            wanted.settings.action_log = None;
        }
        self.is_remote_disabled.then_some("remote_disabled")
    }
}

#[cfg(test)]
mod tests {
    use daemon_api::Request;
    use settings::{Settings, Strategy};

    use super::*;

    fn wanted(settings: &Settings) -> Wanted {
        let request = Request {
            arguments: vec!["gcc".into()],
            directory: "/p".into(),
            environment: Vec::new(),
            settings: settings.to_pairs(),
            is_terminal: false,
        };
        Wanted::of(&request, Strategy::Local).unwrap()
    }

    #[test]
    fn a_silo_is_a_part_of_the_salt() {
        let salt = |silo: Option<&str>, salt: Option<&str>| {
            let rules = Rules {
                silo: silo.map(str::to_owned),
                ..Rules::default()
            };
            let mut wanted = wanted(&Settings {
                salt: salt.map(str::to_owned),
                ..Settings::default()
            });
            assert_eq!(rules.apply(&mut wanted), None);
            wanted.settings.salt
        };
        assert_eq!(salt(None, None), None);
        assert_eq!(salt(None, Some("s")), Some("s".to_owned()));
        let all = [
            salt(Some("a"), None),
            salt(Some("b"), None),
            salt(Some("a"), Some("b")),
            salt(Some("a\" b"), None),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
    }

    #[test]
    fn without_a_server_everything_is_for_the_real_tool() {
        let rules = Rules {
            is_remote_disabled: true,
            ..Rules::default()
        };
        assert_eq!(
            rules.apply(&mut wanted(&Settings::default())),
            Some("remote_disabled")
        );
    }

    #[test]
    fn a_log_is_wanted_of_somebody_who_writes_it() {
        let settings = Settings {
            action_log: Some("log".into()),
            ..Settings::default()
        };
        for (writes_action_logs, expected) in [(true, None), (false, Some("action_log"))] {
            let rules = Rules {
                writes_action_logs,
                ..Rules::default()
            };
            let mut wanted = wanted(&settings);
            rules.apply(&mut wanted);
            assert_eq!(wanted.first_not_done(), expected);
        }
    }
}
