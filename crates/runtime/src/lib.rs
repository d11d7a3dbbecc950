//! What both processes of the operator share: flags, logs, the admin server, readiness, drain, TLS files and back-off.
//!
//! Nothing here knows what a RuleSet is.
//!
//! | port | routes | module |
//! |---|---|---|
//! | `--health-probe-bind-address` | `/healthz`, `/readyz` | [`admin`], [`readiness`] |
//! | `--metrics-bind-address` | `/metrics` and what a process adds | [`admin`] |

pub mod admin;
pub mod backoff;
pub mod drain;
pub mod flag;
pub mod log;
pub mod readiness;
pub mod tls;
