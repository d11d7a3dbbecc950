//! The distribution protocol: generated gRPC, and the messages that both ends reason about.
//!
//! Only the two edge modules (the controller's gRPC service, the cache's subscription) see [`v1alpha1`]; everything behind them
//! sees [`message`], which can't hold an invalid key, digest or timestamp, nor content that isn't what its digest says. No IO.
//!
//! `src/gen` is committed; `tests/bootstrap.rs` generates it again from `proto/` and fails if it differs.

pub mod convert;
pub mod intern;
pub mod limits;
pub mod message;

pub use convert::{InvalidField, InvalidRequest, InvalidResponse, InvalidRuleSet};
pub use intern::Interner;
pub use message::{Body, Hello, Poller, Request, Response, Welcome};

/// The DNS name in a controller's certificate: caches verify it as the server's name, since they connect by a Pod's address.
pub const CONTROLLER_IDENTITY: &str = "coraza-controller";
/// The DNS name in a cache's certificate: who may subscribe.
pub const CACHE_IDENTITY: &str = "coraza-cache";

/// The code that `proto/coraza/distribution/v1alpha1/distribution.proto` generates.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod v1alpha1 {
    include!("gen/coraza.distribution.v1alpha1.rs");
}
