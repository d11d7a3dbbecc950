//! `coraza-controller`: flags, logs, crypto provider, run.

use std::process::ExitCode;

use clap::Parser;
use coraza_controller::app::{self, AppError};
use coraza_controller::args::ControllerArgs;
use coraza_runtime::log;

#[tokio::main]
async fn main() -> ExitCode {
    // An error means that there is a provider already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = ControllerArgs::parse();
    let result = match log::init(&args.log).map_err(AppError::from) {
        Ok(()) => app::run(args).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// To the terminal and not to the log, which may be what failed; whoever reads the log sees it there.
#[allow(clippy::print_stderr, reason = "the last words of the process")]
fn fail(error: &AppError) -> ExitCode {
    eprintln!("coraza-controller: {}", log::chain(error));
    ExitCode::FAILURE
}
