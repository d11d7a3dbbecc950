//! `lint` as people and pipelines run it: golden outputs, exit codes, and input that nobody would write by hand.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

#[path = "program/run.rs"]
mod program;

use program::{Run, run, run_with_colours, run_with_input};

/// Runs in `testdata/lint`.
fn lint(arguments: &[&str]) -> Run {
    run("lint", &[&["lint"], arguments].concat())
}

#[test]
fn findings_are_shown_as_rustc_shows_them() {
    for (name, arguments) in [
        ("syntax", &["syntax.conf"][..]),
        ("folder", &["folder"]),
        ("manifests", &["manifests"]),
        ("named_manifest", &["manifests/other.yaml"]),
    ] {
        let run = lint(arguments);
        assert_eq!((run.code, run.err.as_str()), (1, ""), "{name}");
        insta::assert_snapshot!(name, run.out);
    }
}

#[test]
fn findings_are_data_for_programs() {
    insta::assert_snapshot!("json", lint(&["-o", "json", "syntax.conf", "manifests/shop.yaml"]).out);
    insta::assert_snapshot!("yaml", lint(&["--output=yaml", "syntax.conf"]).out);
}

#[test]
fn exit_codes_say_how_it_went() {
    let clean = "SecAction \"id:1,phase:1,pass\"\n";
    let doubtful = "SecAuditLog /var/log/audit.log\n";
    let wasm = "SecAction \"id:949110,phase:2,deny\"\n";
    for (input, arguments, code) in [
        (clean, &["-"][..], 0),
        (doubtful, &["-"], 0),
        (doubtful, &["-", "--warnings-as-errors"], 1),
        (wasm, &["-"], 0),
        (wasm, &["-", "--engine-profile=wasm"], 1),
        (clean, &["-", "--max-ruleset-bytes=10"], 1),
        ("SecNothing\n", &["-"], 1),
        ("", &["-"], 0),
        ("", &["absent.conf"], 2),
        ("", &["folder", "-", "absent"], 2),
        ("", &[], 2),
        ("", &["-", "--engine-profile=other"], 2),
        ("", &["-", "-o", "xml"], 2),
    ] {
        let run = run_with_input("lint", &[&["lint"], arguments].concat(), input.as_bytes());
        assert_eq!(run.code, code, "{arguments:?}: {}{}", run.out, run.err);
    }
}

#[test]
fn hostile_input_gets_an_answer() {
    let long_line = format!("SecRule ARGS \"@rx {}(\" \"id:1,phase:2,deny\"", "é".repeat(1_000_000));
    let deep = format!("apiVersion: v1\nkind: List\nitems: {}", "[".repeat(100_000));
    let aliases = "apiVersion: v1\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d]\nkind: List\n";
    let many_documents = "---\nkind: RuleSource\n".repeat(20_000);
    let many_errors = "SecNothing\n".repeat(100_000);
    for (name, input) in [
        ("binary", (0..=255).cycle().take(100_000).collect::<Vec<u8>>()),
        ("not UTF-8", b"SecAction \"id:1,pass,msg:'\xff\xfe'\"\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("quotes", vec![b'"'; 100_000]),
        ("backslashes", b"\\\n".repeat(50_000)),
        ("a long line", long_line.into_bytes()),
        ("deep YAML", deep.into_bytes()),
        ("YAML that grows", aliases.into()),
        ("many documents", many_documents.into_bytes()),
        ("many errors", many_errors.into_bytes()),
        (
            "escapes",
            b"SecRule ARGS \"@foo\x1b[2J\x07\xc2\x9b\" \"id:1\"\n".to_vec(),
        ),
    ] {
        let run = run_with_input("lint", &["lint", "-"], &input);
        assert!(matches!(run.code, 0 | 1), "{name}: {}{}", run.out, run.err);
        assert!(
            !run.out.contains(['\x1b', '\x07', '\u{9b}']),
            "{name} reaches the terminal"
        );
        let coloured = run_with_colours("lint", &["lint", "-"], &input).out;
        assert!(
            !coloured.contains("\x1b[2J") && !coloured.contains(['\x07', '\u{9b}']),
            "{name} steers the terminal"
        );
        assert!(run.out.len() < 100_000, "{name}: {} bytes", run.out.len());
    }
}

#[test]
fn colours_are_for_terminals() {
    let coloured = run_with_colours("lint", &["lint", "syntax.conf"], b"");
    assert!(coloured.out.contains("\x1b[1m\x1b[91merror"), "{}", coloured.out);
    let plain = lint(&["syntax.conf"]);
    assert!(
        !plain.out.contains('\x1b') && plain.out.starts_with("error: "),
        "{}",
        plain.out
    );
    let json = run_with_colours("lint", &["lint", "-o", "json", "syntax.conf"], b"");
    assert_eq!(json.out, lint(&["-o", "json", "syntax.conf"]).out);
}

/// `head` closes the pipe when it has seen enough.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let script =
        r#""$1" lint "$2"/folder 2>&1 >/dev/full | cat; "$1" lint "$2"/folder | true; echo "${PIPESTATUS[0]}""#;
    let output = std::process::Command::new("bash")
        .args(["-c", script, "bash", env!("CARGO_BIN_EXE_kubectl-coraza")])
        .arg(program::testdata("lint"))
        .output()
        .expect("bash runs");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        out,
        "Error: failed to write: No space left on device (os error 28)\n1\n"
    );
}
