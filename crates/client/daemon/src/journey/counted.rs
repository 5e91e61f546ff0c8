//! Commands that run here whatever is known of them: whoever wants that wants to know how many would have been hits.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::compared::known_result;
use super::{Done, real};
use crate::counts::How;
use crate::course::Phase;
use crate::daemon::{Asked, Daemon};
use crate::link::Link;

/// The real tool runs; the record says whether its result was known.
pub(super) async fn run(daemon: &Arc<Daemon>, asked: &Asked, link: &mut Link) -> io::Result<Done> {
    let begun = Instant::now();
    let wanted = &*asked.wanted;
    // As the command would be looked for if it were not only counted.
    let mut handled = wanted.clone();
    handled.settings.handle_links = None;
    handled.settings.count_link_hits = false;
    let handled = Asked {
        wanted: Arc::new(handled),
        ..asked.clone()
    };
    let plan = match link.meanwhile(daemon.plan(&handled)).await? {
        Ok(plan) => plan,
        Err(why) => return real::done(daemon, asked, link, &why, begun.elapsed()).await,
    };
    asked.course.enter(Phase::LookUp);
    let server = link.meanwhile(daemon.service.server(&wanted.caller())).await?;
    let known = known_result(daemon, server.as_ref(), &plan.subject);
    let known = link.meanwhile(known).await?;
    let planning = begun.elapsed();
    let how = match known.is_some() {
        true => "its result was known, and only counted",
        false => "its result was not known, and only counted",
    };
    let ended = real::run(daemon, asked, link, &asked.program).await?;
    Ok(Done {
        subject: Some(plan.subject),
        planning,
        outcome: ended.into_outcome(How::LocalOnly(how.to_owned())),
    })
}
