//! Runs requests through both engines, on all cores, and notes where the rules that were logged differ. Loads rules and a library.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use coraza_engine::Program;
use coraza_ftw::{Case, Request, Response, judge};

use crate::libmodsecurity::{Exchange, LibModSecurity};
use crate::suites::ftw::rules;

/// A request with its response.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) request: Request,
    pub(crate) response: Response,
}

/// A request about which the engines differ.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) input: Input,
    /// The rules that libmodsecurity logged.
    pub(crate) theirs: BTreeSet<u64>,
    /// Rules that only libmodsecurity logged.
    pub(crate) missing: BTreeSet<u64>,
    /// Rules that only we did.
    pub(crate) surplus: BTreeSet<u64>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request {
            method,
            uri,
            headers,
            body,
            ..
        } = &self.input.request;
        write!(
            f,
            "{}: missing {:?}, surplus {:?}: ",
            self.input.name, self.missing, self.surplus
        )?;
        let cut = |bytes: &[u8]| bytes.get(..1000).unwrap_or(bytes).escape_ascii().to_string();
        write!(f, "{} {}", cut(method), cut(uri))?;
        for (name, value) in headers {
            write!(f, " | {}: {}", cut(name), cut(value))?;
        }
        write!(f, " || {}", cut(body))?;
        match self.input.response.body.as_slice() {
            b"" => Ok(()),
            body => write!(f, " -> {} {}", self.input.response.status, cut(body)),
        }
    }
}

/// The requests of a test.
pub(crate) fn inputs(case: &Case) -> impl Iterator<Item = Input> {
    case.stages.iter().map(|stage| Input {
        name: case.name.clone(),
        port: stage.port,
        request: stage.request.clone(),
        response: stage.response.clone(),
    })
}

/// Runs all requests. `rules` has a Core Rule Set.
pub(crate) fn run(
    folder: &Path,
    setup: &rules::Setup,
    library: &Path,
    inputs: &[Input],
) -> Result<Vec<Difference>, String> {
    let program = rules::load(folder, setup)?;
    let sources = rules::sources(folder, setup)?;
    let turn = Mutex::new(());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let differences: Vec<_> = thread::scope(|scope| {
        let shares = (0..cores).map(|core| {
            let (program, sources, turn) = (&program, &sources, &turn);
            scope.spawn(move || {
                // One each: nobody promises that threads may share one. One after the other: the parser has global state.
                let peer = {
                    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                    LibModSecurity::load(library, &sources.texts, &sources.files)?
                };
                let share = inputs.iter().enumerate().skip(core).step_by(cores);
                let found = share.filter_map(|(at, input)| Some((at, compare(program, &peer, input)?)));
                Ok(found.collect::<Vec<_>>())
            })
        });
        let running: Vec<_> = shares.collect();
        running
            .into_iter()
            .map(|share| share.join().unwrap_or_else(|_| Err("the engine panicked".to_owned())))
            .collect::<Result<Vec<_>, String>>()
    })?;
    let mut differences: Vec<_> = differences.into_iter().flatten().collect();
    differences.sort_by_key(|(at, _)| *at);
    Ok(differences.into_iter().map(|(_, difference)| difference).collect())
}

/// The rules that a program logs.
pub(crate) fn logged(program: &Arc<Program>, input: &Input) -> BTreeSet<u64> {
    let report = judge::run(program, input.port, &input.request, &input.response);
    // What isn't for the audit log, libmodsecurity doesn't show here either.
    let logged = report.matched.iter().filter(|rule| rule.log && rule.audit);
    logged.filter_map(|rule| rule.id.map(|id| id.0)).collect()
}

fn compare(program: &Arc<Program>, peer: &LibModSecurity, input: &Input) -> Option<Difference> {
    let ours = logged(program, input);
    let exchange = Exchange {
        client: ("127.0.0.1", 40_000),
        server: ("127.0.0.1", input.port),
        method: &input.request.method,
        uri: &input.request.uri,
        protocol: &input.request.version,
        headers: &input.request.headers,
        body: &input.request.body,
        response_status: input.response.status,
        response_headers: &input.response.headers,
        response_body: &input.response.body,
    };
    let theirs: BTreeSet<u64> = peer.run(&exchange, true).ids().into_iter().collect();
    (ours != theirs).then(|| Difference {
        input: input.clone(),
        missing: theirs.difference(&ours).copied().collect(),
        surplus: ours.difference(&theirs).copied().collect(),
        theirs,
    })
}
