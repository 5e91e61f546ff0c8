//! What people may tell the scheduler.

use std::collections::BTreeMap;

use anyhow::Result;
use blob::InstanceName;
use clap::Args;
use scheduler::SchedulerOptions;

use crate::bad_options::BadOptions;

/// Part of what `farrier up` can be told.
#[derive(Args, Debug)]
pub(crate) struct SchedulingArguments {
    /// Give what runs for one instance no more slots than this, over all workers; repeat for several instances. Without a
    /// name it is the unnamed instance. The others have all they can get.
    #[arg(long = "quota", value_name = "[INSTANCE=]SLOTS", value_parser = parse_quota)]
    quotas: Vec<(InstanceName, u32)>,
}

impl SchedulingArguments {
    /// The scheduler's options, when these instances are served.
    pub(crate) fn options<'a>(
        &self,
        served: impl Iterator<Item = &'a InstanceName> + Clone,
    ) -> Result<SchedulerOptions> {
        let mut quotas = BTreeMap::new();
        for (instance, slots) in &self.quotas {
            let name = instance.as_str();
            if !served.clone().any(|served| served == instance) {
                return Err(BadOptions::message(format!(
                    "--quota is for instance `{name}`, which is not served; add --instance `{name}`, or correct the name"
                )));
            }
            if quotas.insert(instance.clone(), *slots).is_some() {
                return Err(BadOptions::message(format!(
                    "--quota names instance `{name}` twice; keep one of them"
                )));
            }
        }
        Ok(SchedulerOptions {
            quotas,
            ..SchedulerOptions::default()
        })
    }
}

fn parse_quota(text: &str) -> Result<(InstanceName, u32), String> {
    let (name, slots) = text.rsplit_once('=').unwrap_or(("", text));
    let instance = InstanceName::new(name).map_err(|error| error.to_string())?;
    match slots.parse() {
        Ok(0) => Err(
            "with 0 slots nothing would ever run; leave the instance out of --instance instead".to_owned(),
        ),
        Ok(slots) => Ok((instance, slots)),
        Err(_) => Err(format!(
            "`{slots}` is no number of slots; write for example team-a=16"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> InstanceName {
        InstanceName::new(text).unwrap()
    }

    #[test]
    fn a_quota_is_a_name_and_a_number() {
        assert_eq!(parse_quota("team/a=16"), Ok((name("team/a"), 16)));
        assert_eq!(parse_quota("8"), Ok((name(""), 8)));
        for wrong in ["", "a=", "a=0", "a=-1", "a=x", "blobs=3"] {
            assert!(parse_quota(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_instance_that_is_served_has_one_at_most() {
        let options = |quotas: &[(&str, u32)]| {
            let quotas = quotas
                .iter()
                .map(|(instance, slots)| (name(instance), *slots))
                .collect();
            SchedulingArguments { quotas }.options([name("a"), name("")].iter())
        };
        let quotas = options(&[("a", 2), ("", 3)]).unwrap().quotas;
        assert_eq!(quotas, [(name("a"), 2), (name(""), 3)].into());
        assert!(
            options(&[("b", 2)])
                .unwrap_err()
                .to_string()
                .contains("not served")
        );
        assert!(
            options(&[("a", 2), ("a", 3)])
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
    }
}
