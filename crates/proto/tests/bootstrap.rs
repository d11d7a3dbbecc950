//! Generates the protocol's code from `proto/`, without `protoc`, and fails if what is committed isn't it.
//!
//! `UPDATE_GENERATED=1 cargo test -p coraza-proto --test bootstrap` writes the files instead of comparing them.

use std::fs;
use std::path::Path;

const PROTO: &str = "coraza/distribution/v1alpha1/distribution.proto";
const GENERATED: &str = "coraza.distribution.v1alpha1.rs";

#[test]
fn committed_code_is_what_the_protocol_generates() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out_dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let descriptors = protox::compile([PROTO], [crate_dir.join("../../proto")]).expect("the protocol compiles");
    tonic_prost_build::configure()
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(out_dir)
        .compile_fds(descriptors)
        .expect("the protocol generates code");

    let generated = fs::read_to_string(out_dir.join(GENERATED)).expect("code was generated");
    let committed = crate_dir.join("src/gen").join(GENERATED);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&committed, generated).expect("the committed file can be written");
    } else if fs::read_to_string(&committed).unwrap_or_default() != generated {
        panic!(
            "{} is stale: UPDATE_GENERATED=1 cargo test -p coraza-proto --test bootstrap",
            committed.display()
        );
    }
}
