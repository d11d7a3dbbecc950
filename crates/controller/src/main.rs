//! `coraza-controller`: parse the command line, run.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use coraza_controller::{app, args::ControllerArgs};
use coraza_runtime::log::{chain, init};

#[tokio::main]
async fn main() -> ExitCode {
    // An error means that one is installed, and there is only this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = ControllerArgs::parse();
    if let Err(error) = init(&args.log) {
        // There is no log yet to say it in.
        ControllerArgs::command()
            .error(ErrorKind::ValueValidation, chain(&error))
            .exit();
    }
    match app::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = chain(&error), "failed to run");
            ExitCode::FAILURE
        }
    }
}
