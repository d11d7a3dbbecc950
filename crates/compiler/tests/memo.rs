//! What is remembered: the edit of one source costs that source, and nothing stays that nobody uses.
#![allow(clippy::expect_used, reason = "a test states what must hold by unwrapping it")]

use std::sync::Arc;

use coraza_compiler::{Compiler, Options, ResolvedRuleSet, ResolvedSource, Validation};

fn ruleset(compiler: &Compiler, name: &str, texts: &[String]) -> ResolvedRuleSet {
    let source = |(at, text): (usize, &String)| ResolvedSource {
        name: format!("source-{at}").into(),
        text: compiler.intern(text),
        validation: Validation::Own,
    };
    ResolvedRuleSet {
        key: format!("shop/{name}").parse().expect("a key"),
        sources: texts.iter().enumerate().map(source).collect(),
        data_files: Arc::default(),
    }
}

/// Ten sources of ten rules, each rule with a pattern of its own.
fn texts() -> Vec<String> {
    let rule = |id: usize| format!("SecRule ARGS \"@rx ^pattern{id}$\" \"id:{id},phase:2,deny\"");
    (0..10)
        .map(|source| (1..=10).map(|at| rule(source * 10 + at)).collect::<Vec<_>>().join("\n"))
        .collect()
}

/// Sources parsed and patterns compiled since the last call.
fn work(compiler: &Compiler, before: &mut (u64, u64)) -> (u64, u64) {
    let statistics = compiler.statistics();
    let now = (statistics.sources_parsed, statistics.patterns_compiled);
    let done = (now.0 - before.0, now.1 - before.1);
    *before = now;
    done
}

#[test]
fn an_edit_costs_the_source_that_was_edited() {
    let compiler = Compiler::new();
    let mut before = (0, 0);
    let mut texts = texts();
    let first = ruleset(&compiler, "web", &texts);
    let compilation = compiler.compile(&first, &Options::default()).expect("good");
    assert_eq!(work(&compiler, &mut before), (10, 100));

    assert_eq!(compiler.compile(&first, &Options::default()), Ok(compilation));
    assert_eq!(work(&compiler, &mut before), (0, 0), "nothing changed");

    texts[3] = texts[3].replace("pattern31$", "another$");
    let edited = ruleset(&compiler, "web", &texts);
    compiler.compile(&edited, &Options::default()).expect("good");
    assert_eq!(work(&compiler, &mut before), (1, 1), "one source, one pattern");

    texts.swap(0, 9);
    compiler
        .compile(&ruleset(&compiler, "other", &texts), &Options::default())
        .expect("good");
    assert_eq!(
        work(&compiler, &mut before),
        (0, 0),
        "another RuleSet with the same sources"
    );
}

#[test]
fn refusals_are_remembered_too() {
    let compiler = Compiler::new();
    let mut before = (0, 0);
    let bad = ruleset(
        &compiler,
        "web",
        &["SecRule ARGS \"@rx (?=a)\" \"id:1,pass\"".to_owned()],
    );
    let refused = compiler.compile(&bad, &Options::default());
    assert!(refused.is_err());
    assert_eq!(work(&compiler, &mut before), (1, 1));
    assert_eq!(compiler.compile(&bad, &Options::default()), refused);
    assert_eq!(work(&compiler, &mut before), (0, 0));
}

#[test]
fn what_nobody_holds_is_forgotten() {
    let compiler = Compiler::new();
    let compilation = {
        let all = ruleset(&compiler, "web", &texts());
        compiler.compile(&all, &Options::default()).expect("good")
    };
    compiler.forget_unused();
    assert_eq!(
        (compiler.statistics().texts, compiler.statistics().patterns),
        (10, 100),
        "the content holds the texts"
    );
    drop(compilation);
    compiler.forget_unused();
    let statistics = compiler.statistics();
    assert_eq!(
        (statistics.texts, statistics.patterns, statistics.analyzed_bytes),
        (0, 0, 0)
    );
}

#[test]
fn a_source_that_is_edited_for_ever_takes_no_more_memory() {
    let compiler = Compiler::new();
    let padding = format!("# {}\n", "x".repeat(50_000));
    let most = (0..1_000).map(|edit| {
        let text = format!("{padding}SecRule ARGS \"@rx ^edit{edit}$\" \"id:1,phase:2,deny\"");
        compiler
            .compile(&ruleset(&compiler, "web", &[text]), &Options::default())
            .expect("good");
        compiler.statistics().analyzed_bytes
    });
    assert!(most.max() < Some(5 << 20), "50 MB went by");
    assert!(compiler.statistics().texts < 100);
}

#[test]
fn many_threads_come_to_the_same_result() {
    let compiler = Compiler::new();
    let all = ruleset(&compiler, "web", &texts());
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| compiler.compile(&all, &Options::default())))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect::<Vec<_>>()
    });
    assert!(results.iter().all(|result| result.is_ok() && *result == results[0]));
}
