//! `doctor`.

use crate::args::{ClusterFlags, OutputFlags};

/// Find out what is wrong with the operator in a cluster: what it is, how that is known, and how to mend it.
///
/// Changes nothing. What may not be read is said to be unchecked.
///
/// Exit codes: 0 no problem, 1 a problem, 2 no problem found, but something could not be checked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Look at everything
  kubectl coraza doctor

  # Look at the Engines of one namespace only
  kubectl coraza doctor -n shop

  # For a script
  kubectl coraza doctor -o json")]
pub(crate) struct Doctor {
    /// The namespace that the operator runs in, if it can't be found
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) operator_namespace: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
}
