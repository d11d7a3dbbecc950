//! The flags about the controller's own CA. Types and checks, no IO.

use std::time::Duration;

use clap::Args;
use coraza_runtime::flag::duration;

use crate::certificates::Secrets;
use crate::certificates::plan::{Peer, Policy};
use crate::engine::settings::Settings;

/// How often the delay fits into what is left of a certificate when it is renewed: half of it may go by with nobody leading.
const DELAYS: u32 = 2;

/// The flags about the controller's own CA.
#[derive(Debug, Clone, Args)]
pub struct CertificateArgs {
    /// The Secret of the controller's own CA, to be filled and renewed by the leader; without it, certificates are somebody else's.
    #[arg(long, env = "CORAZA_SELF_SIGNED_CA_SECRET", value_name = "NAME", requires_all = ["self_signed_controller_secret", "self_signed_cache_secret"])]
    pub self_signed_ca_secret: Option<String>,
    /// The Secret with the controllers' certificate, by that CA.
    #[arg(
        long,
        env = "CORAZA_SELF_SIGNED_CONTROLLER_SECRET",
        value_name = "NAME",
        requires = "self_signed_ca_secret"
    )]
    pub self_signed_controller_secret: Option<String>,
    /// The Secret with the caches' certificate, by that CA.
    #[arg(
        long,
        env = "CORAZA_SELF_SIGNED_CACHE_SECRET",
        value_name = "NAME",
        requires = "self_signed_ca_secret"
    )]
    pub self_signed_cache_secret: Option<String>,
    /// How long that CA lives; its successor is made when two thirds of that are over.
    #[arg(long, env = "CORAZA_SELF_SIGNED_CA_LIFETIME", value_name = "DURATION", value_parser = duration, default_value = "26280h")]
    pub self_signed_ca_lifetime: Duration,
    /// How long certificates by that CA live; they are renewed when two thirds of that are over.
    #[arg(long, env = "CORAZA_SELF_SIGNED_CERTIFICATE_LIFETIME", value_name = "DURATION", value_parser = duration, default_value = "2160h")]
    pub self_signed_certificate_lifetime: Duration,
    /// How long everybody may take to learn of the CA's successor before it signs. The kubelet takes up to two minutes; copies of
    /// ca.crt elsewhere may take longer.
    #[arg(long, env = "CORAZA_SELF_SIGNED_PROPAGATION_DELAY", value_name = "DURATION", value_parser = duration, default_value = "1h")]
    pub self_signed_propagation_delay: Duration,
}

/// Lives that don't fit into each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "--self-signed-certificate-lifetime must be at most a third of --self-signed-ca-lifetime, and at least six times --self-signed-propagation-delay, or certificates could expire while the CA is replaced"
)]
pub struct InvalidLives;

impl CertificateArgs {
    /// What clap can't check by itself.
    ///
    /// # Errors
    /// [`InvalidLives`].
    pub fn check(&self) -> Result<(), InvalidLives> {
        let (authority, leaf) = (self.self_signed_ca_lifetime, self.self_signed_certificate_lifetime);
        let delay = self.self_signed_propagation_delay.max(Duration::from_secs(1));
        if leaf <= authority / 3 && delay.saturating_mul(3 * DELAYS) <= leaf {
            Ok(())
        } else {
            Err(InvalidLives)
        }
    }

    /// The Secrets to fill, if any.
    #[must_use]
    pub fn secrets(&self) -> Option<Secrets> {
        let peers = [
            (Peer::Controller, self.self_signed_controller_secret.clone()?),
            (Peer::Cache, self.self_signed_cache_secret.clone()?),
        ];
        Some(Secrets {
            authority: self.self_signed_ca_secret.clone()?,
            peers: peers.into(),
        })
    }

    /// What to fill them with. Caches have the names of their Service too, for gateways that poll over TLS.
    #[must_use]
    pub fn policy(&self, settings: &Settings) -> Policy {
        let mut cache = vec![coraza_proto::CACHE_IDENTITY.to_owned(), settings.cache_host.clone()];
        let suffix = settings
            .cache_host
            .find(".svc.")
            .and_then(|at| settings.cache_host.get(..at + ".svc".len()));
        cache.extend(suffix.map(str::to_owned));
        let controller = vec![coraza_proto::CONTROLLER_IDENTITY.to_owned()];
        Policy {
            authority_life: self.self_signed_ca_lifetime,
            leaf_life: self.self_signed_certificate_lifetime,
            delay: self.self_signed_propagation_delay,
            names: [(Peer::Controller, controller), (Peer::Cache, cache)].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: CertificateArgs,
    }

    fn parse(flags: &[&str]) -> Result<CertificateArgs, clap::Error> {
        Command::try_parse_from(["x"].iter().chain(flags)).map(|command| command.args)
    }

    #[test]
    fn either_all_secrets_are_named_or_none() {
        assert_eq!(parse(&[]).expect("accepted").secrets(), None);
        let all = [
            "--self-signed-ca-secret=a",
            "--self-signed-controller-secret=b",
            "--self-signed-cache-secret=c",
        ];
        let secrets = parse(&all).expect("accepted").secrets().expect("named");
        assert_eq!(
            (secrets.authority.as_str(), secrets.peers[&Peer::Cache].as_str()),
            ("a", "c")
        );
        for missing in 0..all.len() {
            let some: Vec<&str> = all
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != missing)
                .map(|(_, flag)| *flag)
                .collect();
            assert!(parse(&some).is_err(), "{some:?}");
        }
    }

    #[test]
    fn lives_fit_into_each_other() {
        assert_eq!(parse(&[]).expect("accepted").check(), Ok(()));
        for flag in [
            "--self-signed-ca-lifetime=6479h",
            "--self-signed-certificate-lifetime=8761h",
            "--self-signed-certificate-lifetime=5h59m",
            "--self-signed-propagation-delay=361h",
        ] {
            assert_eq!(parse(&[flag]).expect("parsed").check(), Err(InvalidLives), "{flag}");
        }
    }

    #[test]
    fn caches_are_called_as_gateways_call_them() {
        let policy = parse(&[])
            .expect("accepted")
            .policy(&crate::engine::settings::tests::settings());
        assert_eq!(
            policy.names[&Peer::Cache],
            [
                "coraza-cache",
                "coraza-cache.coraza-system.svc.cluster.local",
                "coraza-cache.coraza-system.svc"
            ]
        );
        assert_eq!(policy.names[&Peer::Controller], ["coraza-controller"]);
    }
}
