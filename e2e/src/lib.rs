//! What the end to end tests share: our processes, started from their binaries as an operator of a cluster would, and clients of what they serve.
//!
//! The tests are clients: nothing here knows our code, only our custom resources and the distribution protocol. `cargo xtask test` starts the API server
//! and says by environment variables where everything is ([`environment`]); without it the tests are ignored, each with that reason.
//!
//! A file of `tests/` is one of two kinds. *Shared*: its tests run in parallel, each in its own [`Namespace`], on one controller and two caches
//! ([`Fleet::shared`]). *Faults*: each test starts, freezes and kills processes of its own ([`Fleet::start`]), one test at a time.
//! Files named `istio_*` run in a cluster with a real istiod, inside its network namespace, where a [`Gateway`] has a real Envoy; they are of either kind.
//! Files named `node_*` run in a cluster with real nodes, where a [`Release`] has real Pods, one test at a time.
//! No test sleeps: it waits [`until`] something holds, and its failure says what was seen last.
//!
//! A test fails by a panic, here too: that is what shows it where.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the tests' own support fails as a test does"
)]
#![allow(
    clippy::print_stderr,
    reason = "the logs of a failed test's processes belong beside its failure"
)]

pub mod cache;
pub mod certificates;
pub mod cluster;
pub mod collector;
pub mod controller;
pub mod enforcer;
pub mod environment;
pub mod envoy;
pub mod fleet;
pub mod gateway;
pub mod http;
pub mod kubectl_coraza;
pub mod kubelet;
pub mod link;
pub mod load;
pub mod manifests;
pub mod mesh;
pub mod mount;
pub mod namespace;
pub mod nodes;
pub mod object;
pub mod origin;
pub mod pages;
pub mod pod;
pub mod poller;
pub mod port;
pub mod process;
pub mod prometheus;
pub mod protected;
pub mod registry;
pub mod release;
pub mod rules_server;
pub mod service;
pub mod shell;
pub mod subscriber;
pub mod token;
pub mod upstream;
pub mod wait;
pub mod wasm;

pub use cache::Cache;
pub use cluster::client;
pub use collector::Collector;
pub use controller::Controller;
pub use environment::environment;
pub use envoy::Envoy;
pub use fleet::{Fleet, Size};
pub use gateway::Gateway;
pub use kubelet::Kubelet;
pub use link::Link;
pub use load::Load;
pub use namespace::Namespace;
pub use nodes::PowerCut;
pub use origin::Origin;
pub use pod::ClientPod;
pub use process::Process;
pub use protected::Protected;
pub use registry::Registry;
pub use release::Release;
pub use rules_server::RulesServer;
pub use subscriber::Subscriber;
pub use upstream::Upstream;
pub use wait::{until, until_within};
