//! Tables of what is rewritten, what is refused, and properties of both.

use proptest::prelude::*;

use super::*;

fn compile(pattern: &[u8]) -> Result<Pattern, PatternError> {
    Pattern::compile(pattern, &Limits::default())
}

fn matches(pattern: &[u8], value: &[u8]) -> bool {
    let pattern = compile(pattern).unwrap_or_else(|error| panic!("{:?}: {error}", String::from_utf8_lossy(pattern)));
    pattern.is_match(&mut pattern.create_cache(), value)
}

#[test]
fn semantics_are_of_bytes_and_of_whole_values() {
    for (pattern, value, expected) in [
        // A dot matches line feeds and bytes that are no UTF-8; `^` and `$` are the ends of the value, never of a line.
        ("a.b", &b"a\nb"[..], true),
        ("^a.b$", b"a\xffb", true),
        ("^b", b"a\nb", false),
        ("a$", b"a\n", false),
        ("(?m)a$", b"a\n", true),
        ("^.{2}$", "é".as_bytes(), true),
        // Case folding knows ASCII only: neither the long s nor the Kelvin sign.
        ("(?i)^SK$", b"sk", true),
        ("(?i)s", "\u{17f}".as_bytes(), false),
        ("(?i)k", "\u{212a}".as_bytes(), false),
        ("(?i)É", "é".as_bytes(), false),
        (r"^\w$", b"\xe9", false),
        (r"^\W$", b"\xe9", true),
        (r"a\b", "a\u{e9}".as_bytes(), true),
        ("", b"", true),
    ] {
        assert_eq!(matches(pattern.as_bytes(), value), expected, "{pattern} {value:?}");
    }
}

#[test]
fn what_differs_in_the_dialect_is_rewritten() {
    for (pattern, expected) in [
        // Braces that count nothing.
        (&b"{a}"[..], r"\{a}"),
        (b"a{,2}", r"a\{,2}"),
        (b"a{1,2}{3,}{x", r"a{1,2}{3,}\{x"),
        (br"\b{start}", r"\b\{start}"),
        // Escapes.
        (br"\/\<\>\-", r"\/\x3c\x3e\-"),
        (b"\\\xe9", r"\xe9"),
        (
            br"\e\0\012\x\x4\x41\x{e9}\h",
            r"\x1b\x00\x0a\x00\x04\x41\xe9[\t\x20\xa0]",
        ),
        (br"\x{263a}\x{}\x{+1}", r"\x{263a}\x{}\x{+1}"),
        // Classes.
        (b"[a[b]", r"[a\[b]"),
        (b"[]a][^]a]", r"[\]a][^\]a]"),
        (b"[a&&b~~c--d]", r"[a\&\&b\~\~c-\-d]"),
        (
            br"[\w-.][.-\w][a-c-e][-a][a-][+--]",
            r"[\w\-.][.\-\w][a-c\-e][\-a][a\-][+-\-]",
        ),
        (b"[[:alpha:]-z[:^digit:]]", r"[[:alpha:]\-z[:^digit:]]"),
        (b"[[:alpha]", r"[\[:alpha]"),
        (br"[\b\1\101\<\x{41}\e\-]", r"[\x08\x01\x41\x3c\x41\x1b\-]"),
        (b"[\xc3\xa9]\xc3", r"[\xc3\xa9]\xc3"),
        (b"[ #]", r"[\x20\x23]"),
        // Groups.
        (b"a(?#comment)+", "a+"),
        (
            b"(?x)a # [comment\n[ ]",
            r"(?x)a 
[\x20]",
        ),
        (b"(?x:a#b)\n)#[c[]", "(?x:a\n)#[c\\[]"),
        (b"(?x)(?-x)#[c[]", r"(?x)(?-x)#[c\[]"),
        (
            b"(?<name>a)(?P<other>b)(?i-s:c)(?:d)",
            "(?<name>a)(?P<other>b)(?i-s:c)(?:d)",
        ),
    ] {
        let shown = String::from_utf8_lossy(pattern);
        match translate::translate(pattern) {
            Ok(translation) => assert_eq!(translation.text, expected, "{shown}"),
            Err(error) => panic!("{shown}: {error}"),
        }
    }
}

#[test]
fn what_was_rewritten_means_what_pcre_means() {
    for (pattern, value, expected) in [
        (&b"^[a[b]$"[..], &b"["[..], true),
        (b"^[a&&b]$", b"&", true),
        (b"^[a&&b]$", b"a", true),
        (br"^\<b\>$", b"<b>", true),
        (br"^[\w-.]$", b"-", true),
        (b"^[a-c-e]$", b"d", false),
        (b"^[\xc3\xa9]$", b"\xa9", true),
        ("^[é]$".as_bytes(), b"\xc3", true),
        (br"^\x{e9}$", b"\xe9", true),
        (b"^{a}{2}$", b"{a}}", true),
        (b"^a{,2}$", b"a{,2}", true),
        (br"^[\b]$", b"\x08", true),
    ] {
        assert_eq!(
            matches(pattern, value),
            expected,
            "{} {value:?}",
            String::from_utf8_lossy(pattern)
        );
    }
}

#[test]
fn what_automata_cannot_do_is_refused_by_name_and_place() {
    use ErrorKind::*;
    for (pattern, kind, span) in [
        ("a(?=b)", LookAround, 1..4),
        ("a(?!b)", LookAround, 1..4),
        ("(?<=a)", LookAround, 0..4),
        ("(?<!a)", LookAround, 0..4),
        (r#"(["']).*\1"#, BackReference, 8..10),
        (r"(a)\g{1}", BackReference, 3..5),
        (r"(?<n>a)\k<n>", BackReference, 7..9),
        ("(?P<n>a)(?P=n)", BackReference, 8..12),
        ("a++", Possessive, 2..3),
        ("a{1,2}+", Possessive, 6..7),
        ("a?+", Possessive, 2..3),
        ("a**", NestedQuantifier, 2..3),
        ("a+?*", NestedQuantifier, 3..4),
        ("(?>a)", AtomicGroup, 0..3),
        ("(?|a|b)", BranchReset, 0..3),
        ("(?(1)a|b)", Conditional, 0..3),
        ("(?R)", Recursion, 0..3),
        ("(?1)", Recursion, 0..3),
        ("(?-1)", Recursion, 0..3),
        ("(?&n)", Recursion, 0..3),
        ("(?P>n)", Recursion, 0..4),
        ("(*UTF8)a", Verb, 0..2),
        ("(?u)a", UnsupportedGroup, 0..3),
        ("(?'n'a)", UnsupportedGroup, 0..3),
        (r"\pL", Unicode, 0..2),
        (r"[\x{100}]", Unicode, 1..8),
        (r"\u0041", UnsupportedEscape('u'), 0..2),
        (r"a\K", UnsupportedEscape('K'), 1..3),
        (r"a\Z", UnsupportedEscape('Z'), 1..3),
        (r"[\B]", UnsupportedEscape('B'), 1..3),
        ("é[a", Syntax("unclosed character class".into()), 2..4),
        ("é(a", Syntax("unclosed group".into()), 2..3),
        ("(?#a", Syntax("unclosed group".into()), 0..4),
        ("é)", Syntax("unopened group".into()), 2..3),
        ("é*?)", Syntax("unopened group".into()), 4..5),
        ("*a", Syntax("repetition operator missing expression".into()), 0..1),
        (
            "é[z-a]",
            Syntax("invalid character class range, the start must be <= the end".into()),
            3..6,
        ),
        (
            "a{2,1}",
            Syntax("invalid repetition count range, the start must be <= the end".into()),
            1..6,
        ),
        (
            "a\\",
            Syntax("incomplete escape sequence, reached end of pattern prematurely".into()),
            1..2,
        ),
        (r"\y", Syntax("unrecognized escape sequence".into()), 0..2),
    ] {
        let error = compile(pattern.as_bytes()).expect_err(pattern);
        assert_eq!(error, PatternError::new(kind, span), "{pattern}");
        assert!(!error.hint().is_empty());
    }
}

/// Each of these is refused after a small part of the work that it asks for: the size limits see to that.
#[test]
fn bombs_are_refused() {
    let nested = |levels: usize| format!("{}a{}", "(".repeat(levels), ")".repeat(levels));
    let counted = |depth: usize| format!("{}a{}", "(?:".repeat(depth), "){1,1000}".repeat(depth));
    for pattern in [
        counted(2),
        counted(20),
        r"\w{100000}".into(),
        "a{4294967295}".into(),
        format!("({})", vec![".{500}"; 100].join("|")),
        nested(1_000),
        nested(30_000),
        "[".repeat(60_000),
        "a*?".repeat(20_000) + "(",
        "x".repeat(100_000),
    ] {
        let error = compile(pattern.as_bytes()).expect_err("a bomb");
        assert!(error.span.end <= pattern.len());
    }
    assert!(compile(nested(90).as_bytes()).is_ok());
    assert!(matches!(
        compile(nested(200).as_bytes()).expect_err("deep").kind,
        ErrorKind::TooDeep { limit: 100 }
    ));
    assert!(matches!(
        compile(counted(2).as_bytes()).expect_err("large").kind,
        ErrorKind::TooLarge { .. }
    ));
    assert!(matches!(
        compile(&[b'x'; 100_000]).expect_err("long").kind,
        ErrorKind::TooLong { length: 100_000, .. }
    ));
    let narrow = Limits {
        cache_bytes: 200,
        ..Limits::default()
    };
    let error = Pattern::compile(b"(a|b)*c{20}", &narrow).expect_err("too little cache");
    assert!(
        matches!(error.kind, ErrorKind::TooMuchCache { limit: 200, .. }),
        "{error}"
    );
}

/// Text that is often nearly a pattern.
fn nearly_a_pattern() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "(",
            ")",
            "(?",
            "(?:",
            "(?i)",
            "(?x:",
            "[",
            "]",
            "[^",
            "[:alpha:]",
            "{",
            "}",
            "{2}",
            "{1,3}",
            "\\",
            "\\x",
            "\\x{",
            "\\b",
            "\\w",
            "*",
            "+",
            "?",
            "|",
            "^",
            "$",
            ".",
            "-",
            "&&",
            "#",
            "\n",
            "é",
            "a",
            "0",
            "\\0",
            "%{tx.a}",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_panics_and_every_error_lies_in_the_pattern(pattern in nearly_a_pattern(), value in prop::collection::vec(any::<u8>(), 0..32)) {
        match compile(&pattern) {
            Ok(pattern) => { let _ = pattern.is_match(&mut pattern.create_cache(), &value); }
            Err(error) => {
                prop_assert!(error.span.start <= error.span.end && error.span.end <= pattern.len(), "{error:?}");
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn an_escaped_text_matches_itself(text in prop::collection::vec(any::<u8>(), 0..40)) {
        let pattern = text.iter().flat_map(|byte| format!("\\x{byte:02x}").into_bytes()).collect::<Vec<_>>();
        prop_assert!(matches(&[b"^", &pattern[..], b"$"].concat(), &text));
    }
}
