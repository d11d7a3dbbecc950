//! Prints what compiling a Core Rule Set costs: cold, again, after the edit of each source, and for a thousand tenants.
//!
//! `cargo run --release -p coraza-compiler --example crs -- DIRECTORY [TENANTS]`, with the directory of the .conf and .data files. The last line is for
//! programs: the times in milliseconds, as JSON.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coraza_compiler::{Compilation, Compiler, Options, ResolvedRuleSet, ResolvedSource, Validation, data_file};
use coraza_ruleset::RuleSetKey;

/// How many tenants unless the command line says.
const TENANTS: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: crs DIRECTORY [TENANTS]")?;
    let count = std::env::args().nth(2).map_or(Ok(TENANTS), |count| count.parse())?;
    let compiler = Compiler::new();
    let mut crs = read(&compiler, Path::new(&directory))?;

    let (cold, compilation) = timed(&compiler, &crs)?;
    println!(
        "cold              {cold:>10.1?}  {} rules, {} bytes",
        compilation.rules,
        compilation.content.size()
    );
    println!("                  {:?}", compiler.statistics());
    for warning in &compilation.warnings.list {
        println!("                  {warning}");
    }
    let (again, _) = timed(&compiler, &crs)?;
    println!("again             {again:>10.1?}");

    let mut edits = Vec::new();
    for at in 0..crs.sources.len() {
        let Some(source) = crs.sources.get_mut(at) else {
            continue;
        };
        let edited = format!("{}\n# edited\n", source.text);
        let started = Instant::now();
        source.text = compiler.intern(&edited);
        let (time, _) = timed(&compiler, &crs)?;
        edits.push((started.elapsed().max(time), at));
    }
    edits.sort_unstable();
    let name = |at: usize| crs.sources.get(at).map_or("", |source| &*source.name).to_owned();
    if let (Some((median, _)), Some((slowest, at))) = (edits.get(edits.len() / 2), edits.last()) {
        println!("edit of a source  {median:>10.1?}  median");
        println!("                  {slowest:>10.1?}  slowest: {}", name(*at));
        tenants(&compiler, &crs, count)?;
        let [cold, median, slowest] = [cold, *median, *slowest].map(|time| time.as_secs_f64() * 1_000.0);
        println!(r#"{{"cold_ms":{cold},"edit_median_ms":{median},"edit_slowest_ms":{slowest}}}"#);
    }
    Ok(())
}

/// So many RuleSets of the same Core Rule Set and one source of their own.
fn tenants(compiler: &Compiler, crs: &ResolvedRuleSet, count: usize) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let mut compilations = Vec::new();
    for tenant in 0..count {
        let mut ruleset = crs.clone();
        ruleset.key = RuleSetKey::new(&format!("tenant-{tenant}"), "web")?;
        ruleset.sources.push(ResolvedSource {
            name: "own".into(),
            text: compiler.intern(&format!(
                "SecRule ARGS \"@rx ^own{tenant}$\" \"id:{},phase:2,deny\"",
                tenant + 1
            )),
            validation: Validation::Own,
        });
        compilations.push(compiler.compile(&ruleset, &Options::default())?);
    }
    println!("{count} tenants      {:>10.1?}  {}", started.elapsed(), resident());
    Ok(())
}

fn timed(compiler: &Compiler, ruleset: &ResolvedRuleSet) -> Result<(Duration, Compilation), Box<dyn Error>> {
    let started = Instant::now();
    let compilation = compiler.compile(ruleset, &Options::default());
    let elapsed = started.elapsed();
    match compilation {
        Ok(compilation) => Ok((elapsed, compilation)),
        Err(error) => Err(format!(
            "{error}\n{}",
            error.diagnostics().map(ToString::to_string).unwrap_or_default()
        )
        .into()),
    }
}

fn read(compiler: &Compiler, directory: &Path) -> Result<ResolvedRuleSet, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "conf" || extension == "data")
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, std::fs::read_to_string(&path)?));
        }
    }
    files.sort();
    let (rules, data): (Vec<_>, Vec<_>) = files.into_iter().partition(|(name, _)| name.ends_with(".conf"));
    let source = |(name, text): (String, String)| ResolvedSource {
        name: name.into(),
        text: compiler.intern(&text),
        validation: Validation::Own,
    };
    Ok(ResolvedRuleSet {
        key: RuleSetKey::new("default", "crs")?,
        sources: rules.into_iter().map(source).collect(),
        data_files: Arc::new(
            data.into_iter()
                .map(|(name, text)| (name.into(), data_file(text.into())))
                .collect(),
        ),
    })
}

/// The memory that the process has, where the system tells.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
