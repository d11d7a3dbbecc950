//! `explain`: one request through the rules, and all that they have to say about it. Reads files, and a cluster if it is asked to.

mod body;
mod report;
mod request;

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coraza_compiler::Compiler;
use coraza_engine::transaction::{Connection, Identity, Interrupted, Report, RequestLine, Transaction, states};
use coraza_ftw::{Response, judge};

use self::report::Explanation;
use self::request::{InvalidRequest, Sent};
use crate::args;
use crate::output::{Outcome, PrintError, Terminal};
use crate::rules::{ChooseError, Runnable, bounded, compile, of_cluster, one};

/// Why nothing is explained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExplainError {
    /// The request can't be made of the flags.
    #[error(transparent)]
    Request(#[from] InvalidRequest),
    /// The rules can't be used.
    #[error(transparent)]
    Rules(#[from] ChooseError),
    /// The answer can't be written.
    #[error(transparent)]
    Print(#[from] PrintError),
}

/// The largest file of a body, in bytes: more than any gateway would hold.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Runs the command.
pub(crate) async fn run(args: &args::Explain, terminal: &mut Terminal) -> Result<Outcome, ExplainError> {
    let sent = request::request(args, &read)?;
    let response = request::response(&args.response, &read)?;
    let runnable = rules(args).await.map_err(|error| error.shown(terminal))?;
    let client = args.request.client_address.to_string();
    let report = explain(&runnable, &sent, response.as_ref(), client.as_bytes());
    let explanation = Explanation::new(&runnable, &sent, response.as_ref(), &report);
    terminal.print(args.output.format, &explanation)?;
    Ok(Outcome::found(args.exit_code && explanation.is_blocked()))
}

async fn rules(args: &args::Explain) -> Result<Runnable, ChooseError> {
    let compiler = Compiler::new();
    let ruleset = match (&args.files[..], &args.ruleset) {
        ([], Some(name)) => of_cluster(&args.cluster, name, &compiler).await?,
        (files, name) => one(files, name.as_deref(), &compiler)?,
    };
    compile(ruleset, &compiler)
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    match path {
        "-" => bounded(io::stdin(), MAX_FILE_BYTES),
        path => bounded(std::fs::File::open(path)?, MAX_FILE_BYTES),
    }
}

/// Takes the request, and the response if there is one, through the phases.
fn explain(runnable: &Runnable, sent: &Sent, response: Option<&Response>, client: &[u8]) -> Report {
    let connection = Connection {
        client_address: client,
        client_port: 40_000,
        server_address: b"127.0.0.1",
        server_port: sent.port,
    };
    let identity = Identity {
        unique_id: b"explained",
        started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO),
    };
    let transaction = Transaction::new(&runnable.program, &connection, &identity);
    let ended = match response {
        Some(response) => judge::phases(transaction, &sent.request, response),
        None => request_phases(transaction, sent),
    };
    ended.unwrap_or_else(|interrupted| interrupted.transaction).log()
}

fn request_phases(
    transaction: Transaction<states::Connected>,
    sent: &Sent,
) -> Result<Transaction<states::Logging>, Interrupted> {
    let request = &sent.request;
    let line = RequestLine {
        method: &request.method,
        uri: &request.uri,
        protocol: &request.version,
    };
    let headers = request.headers.iter();
    let transaction = transaction
        .request_headers(&line, headers.map(|(name, value)| (name.as_slice(), value.as_slice())))?
        .append(&request.body)?
        .request_body()?;
    Ok(transaction.end())
}
