//! What `farrier up` prints: where it is, what it keeps, and lines to paste.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use blob::InstanceName;
use trust::JoinToken;

use crate::data_directory::DataDirectory;
use crate::wire::up::Sizes;

/// Everything the banner tells.
pub(crate) struct Banner<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) directory: &'a DataDirectory,
    pub(crate) sizes: Sizes,
    /// `None` where no worker may join: it keeps a share for others.
    pub(crate) slots: Option<u32>,
    pub(crate) names: &'a [InstanceName],
    pub(crate) client_results: bool,
    pub(crate) token: &'a JoinToken,
    /// Whether clients on other machines come over TLS.
    pub(crate) has_front_door: bool,
}

/// An address that can be connected to: the wildcard addresses cannot.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let here = reachable(self.address);
        let Sizes {
            cas,
            action_cache,
            worker_cache,
        } = self.sizes;
        writeln!(f, "farrier {} is up", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  endpoint    grpc://{}", self.address)?;
        let names: Vec<_> = self
            .names
            .iter()
            .map(|name| format!("{:?}", name.as_str()))
            .collect();
        writeln!(f, "  instances   {}", names.join(", "))?;
        writeln!(f, "  data        {}", self.directory.path().display())?;
        writeln!(
            f,
            "  limits      blobs {cas}, action results {action_cache}, worker's files {worker_cache}"
        )?;
        match self.slots {
            None => writeln!(f, "  worker      never: it keeps a share for others (--as-shard)")?,
            Some(0) => writeln!(f, "  worker      none here (--slots 0)")?,
            Some(slots) => writeln!(f, "  worker      1 here, {slots} actions at once")?,
        }
        let who = if self.client_results {
            "workers and clients"
        } else {
            "workers only"
        };
        writeln!(f, "  results     written by {who}")?;
        if self.has_front_door {
            writeln!(
                f,
                "  TLS         from other machines: grpcs://NAME:{}, with a name of the certificate",
                self.address.port()
            )?;
        }
        writeln!(f)?;
        if self.slots.is_none() {
            write!(
                f,
                "others     farrier up --shard grpc://{here} …\n\nCtrl-C stops."
            )?;
            return Ok(());
        }
        let instance = self.names.first().map_or("", |name| name.as_str());
        let or_nothing = |text: String| if instance.is_empty() { String::new() } else { text };
        writeln!(
            f,
            "Bazel      --remote_executor=grpc://{here}{}",
            or_nothing(format!(" --remote_instance_name={instance}"))
        )?;
        writeln!(f, "Buck2      [buck2_re_client]")?;
        writeln!(f, "           engine_address = grpc://{here}")?;
        writeln!(f, "           action_cache_address = grpc://{here}")?;
        writeln!(f, "           cas_address = grpc://{here}")?;
        writeln!(
            f,
            "           tls = false{}",
            or_nothing(format!("\n           instance_name = {instance}"))
        )?;
        writeln!(
            f,
            "reclient   RBE_service={here} RBE_service_no_security=true RBE_service_no_auth=true RBE_instance={instance}"
        )?;
        writeln!(f, "recc       RECC_SERVER={here} RECC_INSTANCE={instance}")?;
        let flag = or_nothing(format!(" --instance {instance}"));
        writeln!(
            f,
            "try it     farrier exec --endpoint http://{here}{flag} -- uname -a"
        )?;
        writeln!(f, "more cores farrier join https://{here} --token {}", self.token)?;
        if self.address.ip().is_loopback() {
            writeln!(
                f,
                "           (for other machines, start with --listen 0.0.0.0:{})",
                self.address.port()
            )?;
        } else {
            writeln!(
                f,
                "\nWARNING: there is no client authentication yet. Whoever reaches {} can run",
                self.address
            )?;
            writeln!(f, "commands on the workers: keep it inside a network you trust.")?;
        }
        write!(f, "\nCtrl-C drains and stops.")
    }
}
