//! Compares `detectSQLi` and `detectXSS` with the libinjection inside libmodsecurity: verdicts and fingerprints, over libinjection's
//! corpora where they are given and over generated inputs. Loads a shared library, reads files. `cargo xtask oracle libinjection`
//! calls it.
//!
//! `libinjection --libmodsecurity FILE [--corpora DIR] [--inputs N] [--seed S]`

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod generate;
mod peer;

use std::path::Path;
use std::process::ExitCode;

use coraza_engine::detect::{sqli, xss};
use generate::Generator;
use peer::Peer;

/// After so many differences the rest is the same again.
const MAX_DIFFERENCES: usize = 20;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The number of differences.
fn run() -> Result<usize, String> {
    let (mut library, mut corpora, mut inputs, mut seed) = (None, None, 50_000_u64, 1_u64);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{flag}: `{value}` is no number"));
        match flag.as_str() {
            "--libmodsecurity" => library = Some(value),
            "--corpora" => corpora = Some(value),
            "--inputs" => inputs = number()?,
            "--seed" => seed = number()?,
            _ => return Err(format!("unknown argument {flag}")),
        }
    }
    let peer = Peer::load(Path::new(&library.ok_or("--libmodsecurity is missing")?))?;
    let seeds = match corpora {
        Some(folder) => generate::read(Path::new(&folder)).map_err(|error| format!("{folder}: {error}"))?,
        None => Vec::new(),
    };
    let mut judge = Judge::default();
    for seed in &seeds {
        judge.compare(&peer, seed);
    }
    let known = judge.compared;
    let mut generator = Generator::new(seed, seeds);
    for _ in 0..inputs {
        judge.compare(&peer, &generator.input());
    }
    let Judge {
        sqli, xss, differences, ..
    } = judge;
    println!(
        "oracle libinjection: {known} known and {inputs} generated inputs (seed {seed}), {sqli} SQLi, {xss} XSS, {differences} differences"
    );
    if sqli == 0 || xss == 0 {
        return Err("no input is an attack: the comparison says nothing".to_owned());
    }
    Ok(differences)
}

/// What came of the inputs so far.
#[derive(Default)]
struct Judge {
    compared: u64,
    sqli: u64,
    xss: u64,
    differences: usize,
}

impl Judge {
    fn compare(&mut self, peer: &Peer, input: &[u8]) {
        self.compared += 1;
        let ours = sqli::detect(input).map(|fingerprint| fingerprint.to_string());
        let theirs = peer.sqli(input);
        if ours != theirs {
            self.report("sqli", &format!("{ours:?}"), &format!("{theirs:?}"), input);
        }
        self.sqli += u64::from(theirs.is_some());
        let (ours, theirs) = (xss::detect(input), peer.xss(input));
        if ours != theirs {
            self.report("xss", &ours.to_string(), &theirs.to_string(), input);
        }
        self.xss += u64::from(theirs);
    }

    fn report(&mut self, what: &str, ours: &str, theirs: &str, input: &[u8]) {
        self.differences += 1;
        if self.differences <= MAX_DIFFERENCES {
            println!("{what}: {ours} here, {theirs} there: \"{}\"", input.escape_ascii());
        }
    }
}
