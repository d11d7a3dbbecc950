//! Tables of bodies, and what they give.

use super::super::found::collect;
use super::*;

const TYPE: &str = "multipart/form-data; boundary=0";

/// A body of parts (all after the first boundary), with the last boundary.
fn body(parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--0\r\n{part}\r\n")).collect();
    format!("{parts}--0--\r\n")
}

/// A part whose `Content-Disposition` is `disposition`.
fn part(disposition: &str, data: &str) -> String {
    format!("Content-Disposition: {disposition}\r\n\r\n{data}")
}

/// What a body gives but for the parts' headers, the names of the flags that are set, and the error.
fn read(content_type: &str, body: &[u8], options: &Options) -> (Vec<String>, String, Option<MultipartError>) {
    let (found, outcome) = collect(|sink| parse(content_type.as_bytes(), body, options, sink));
    let found = found.into_iter().filter(|found| !found.starts_with("header "));
    let error = outcome.error.map(|error| match error {
        super::super::BodyError::Multipart(error) => error,
        other => panic!("{other}"),
    });
    (found.collect(), names(&outcome.multipart.unwrap()), error)
}

fn names(flags: &Flags) -> String {
    let all = [
        ("error", flags.error),
        ("boundary_quoted", flags.boundary_quoted),
        ("boundary_whitespace", flags.boundary_whitespace),
        ("data_before", flags.data_before),
        ("data_after", flags.data_after),
        ("header_folding", flags.header_folding),
        ("invalid_header_folding", flags.invalid_header_folding),
        ("lf_line", flags.lf_line),
        ("crlf_lf_lines", flags.crlf_lf_lines()),
        ("missing_semicolon", flags.missing_semicolon),
        ("invalid_quoting", flags.invalid_quoting),
        ("invalid_part", flags.invalid_part),
        ("file_limit_exceeded", flags.file_limit_exceeded),
    ];
    let set: Vec<&str> = all.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    assert_eq!(flags.strict_error(), !set.is_empty());
    set.join(" ")
}

fn check(body: &str, found: &[&str], flags: &str, error: Option<MultipartError>) {
    let actual = read(TYPE, body.as_bytes(), &Options::default());
    let found = found.iter().map(|found| (*found).to_owned()).collect();
    assert_eq!(actual, (found, flags.to_owned(), error), "{body:?}");
}

#[test]
fn arguments_and_files() {
    check("", &[], "", None);
    check("--0--\r\n", &[], "", None);
    let form = body(&[
        &part("form-data; name=\"a\"", "1\r\n2\n3"),
        &part(
            "form-data; name=b; filename=\"f.txt\"\r\nContent-Type: text/plain",
            "x\r\n\0",
        ),
        &part("form-data; filename=\"\"; name=\"c\"", ""),
    ]);
    let found = [
        "name a",
        "a=1\\r\\n2\\n3",
        "name b",
        "filename f.txt",
        "file b f.txt x\\r\\n\\x00",
        "filename ",
        "name c",
        "c=",
    ];
    check(&form, &found, "", None);
    // The end of the last line may be missing.
    check(form.trim_end(), &found, "", None);
}

#[test]
fn headers_of_parts() {
    let form = body(&["content-disposition:  form-data;\r\n name=a\r\nX: b\r\n\tc \r\n\r\n1"]);
    let (found, outcome) = collect(|sink| parse(TYPE.as_bytes(), form.as_bytes(), &Options::default(), sink));
    let headers = [
        "name a",
        "header a content-disposition:  form-data; name=a",
        "header a X: b c ",
        "a=1",
    ];
    assert_eq!(found, headers);
    assert_eq!(names(&outcome.multipart.unwrap()), "header_folding");
}

#[test]
fn dispositions() {
    let invalid = |error| ("error invalid_part", Some(error));
    let disposition = invalid(MultipartError::InvalidDisposition);
    let fine = ("", None);
    let single = ("invalid_quoting", None);
    type Case<'c> = (&'c str, &'c [&'c str], (&'c str, Option<MultipartError>));
    let cases: [Case<'_>; 29] = [
        ("form-data; name=a", &["name a", "a=1"], fine),
        ("form-data;name=a;", &["name a", "a=1"], fine),
        ("form-data ; name = \"a\" ", &["name a", "a=1"], fine),
        ("form-data; name='a'", &["name a", "a=1"], single),
        ("form-data; name=\"a'b\"", &["name a'b", "a'b=1"], fine),
        ("form-data; name=\"a\\\"b\"", &["name a\"b", "a\"b=1"], fine),
        ("form-data; name=\"a\\b\\\\\"", &["name a\\b\\", "a\\b\\=1"], fine),
        ("form-data; name=\"a;b\"", &["name a;b", "a;b=1"], fine),
        ("form-data; name=\"%41+\"", &["name %41+", "%41+=1"], fine),
        (
            "form-data; name=a; filename=\"x;y\"",
            &["name a", "filename x;y", "file a x;y 1"],
            fine,
        ),
        (
            "form-data; name=a; filename=x; filename*=utf-8''y%41+",
            &["name a", "filename x", "filename yA ", "file a x 1"],
            fine,
        ),
        (
            "form-data; filename*=utf-8'de'y; filename=x; name=a",
            &["filename y", "filename x", "name a", "file a x 1"],
            fine,
        ),
        (
            "form-data; name=a; filename*=utf-8''y",
            &["name a", "filename y"],
            disposition,
        ),
        (
            "form-data; name=a; filename=x; filename*=y",
            &["name a", "filename x"],
            disposition,
        ),
        (
            "form-data; name=a; filename=x; filename*=''y; filename*=''z",
            &["name a", "filename x", "filename y"],
            disposition,
        ),
        ("form-data; name=a; name=b", &["name a", "name b"], disposition),
        (
            "form-data; name=a; filename=b; filename=c",
            &["name a", "filename b", "filename c"],
            disposition,
        ),
        ("form-data; name=a; foo=b", &["name a"], disposition),
        ("form-data; name=a; FileName=b", &["name a"], disposition),
        ("form-data; name=a; ", &["name a"], disposition),
        ("form-data; name=a;;", &["name a"], disposition),
        ("form-data; name=a b", &["name a"], disposition),
        ("form-data; name=", &[], disposition),
        ("form-data; name", &[], disposition),
        ("form-data name=a", &[], disposition),
        ("FORM-DATA; name=a", &[], disposition),
        ("attachment; name=a", &[], disposition),
        ("form-data; name=\"\"", &["name "], invalid(MultipartError::NoName)),
        ("form-data", &[], invalid(MultipartError::NoName)),
    ];
    for (header, found, (flags, error)) in cases {
        // Without the escaping of the expected texts.
        let found: Vec<String> = found.iter().map(|found| found.escape_default().to_string()).collect();
        let (actual, ..) = read(TYPE, body(&[&part(header, "1")]).as_bytes(), &Options::default());
        assert_eq!(actual, found, "{header}");
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        check(&body(&[&part(header, "1")]), &found, flags, error);
    }
    check(
        &body(&[&part("form-data; name=\"a", "1")]),
        &[],
        "error invalid_quoting invalid_part",
        Some(MultipartError::InvalidDisposition),
    );
    let quoted = "form-data; name=\"a\"x";
    check(
        &body(&[&part(quoted, "1")]),
        &["name a"],
        "error invalid_quoting invalid_part",
        Some(MultipartError::InvalidDisposition),
    );
}

#[test]
fn headers_that_are_wrong() {
    let named = "Content-Disposition: form-data; name=a\r\n";
    let long = format!("X: {}\r\n", "a".repeat(4093));
    let many: String = (0..32).map(|number| format!("X{number}: a\r\n")).collect();
    let cases = [
        ("Xa\r\n", "error", Some(MultipartError::InvalidHeader)),
        (": a\r\n", "error", Some(MultipartError::InvalidHeader)),
        ("X : a\r\n", "error", Some(MultipartError::InvalidHeader)),
        ("X: a\r\nx: b\r\n", "error", Some(MultipartError::DuplicateHeader)),
        ("X: a\0b\r\n", "error", Some(MultipartError::NulInHeader)),
        (&long, "error", Some(MultipartError::HeaderTooLong)),
        (&many, "error", Some(MultipartError::HeaderTooLong)),
        ("X: a\r\n b\r\n", "header_folding", None),
        ("X: a\r\n\x0bb\r\n", "header_folding invalid_header_folding", None),
        ("X: a\n", "lf_line crlf_lf_lines", None),
    ];
    for (header, flags, error) in cases {
        check(
            &body(&[&format!("{named}{header}\r\n1")]),
            &["name a", "a=1"],
            flags,
            error,
        );
    }
    check(
        &body(&[&format!(" X: a\r\n{named}\r\n1")]),
        &["name a", "a=1"],
        "error header_folding",
        Some(MultipartError::InvalidFolding),
    );
    check(
        &body(&["X: a\r\n\r\n1"]),
        &[],
        "error invalid_part",
        Some(MultipartError::NoDisposition),
    );
}

#[test]
fn boundaries_in_the_body() {
    let good = part("form-data; name=a", "1");
    let found = ["name a", "a=1"];
    let form = body(&[&good]);
    check(&form.replace('\r', ""), &found, "lf_line", None);
    check(&form.replace("1\r\n", "1\n"), &found, "lf_line crlf_lf_lines", None);
    check(&format!("x\r\n{form}"), &found, "data_before", None);
    check(&format!("\r\n{form}"), &found, "data_before", None);
    check(&format!("{form}x"), &found, "data_after", None);
    check(&format!("{form}{form}"), &found, "data_after", None);
    check(
        &format!("--0\r\n{good}\r\n"),
        &found,
        "",
        Some(MultipartError::NoFinalBoundary),
    );
    check(
        &format!("--0\r\n{good}"),
        &found,
        "",
        Some(MultipartError::NoFinalBoundary),
    );
    check("abc", &[], "data_before", Some(MultipartError::NoBoundary));
    check("--0", &[], "data_before", Some(MultipartError::NoBoundary));
    check("--00", &[], "error", Some(MultipartError::InvalidBoundary));
    check(
        &form.replace("--0\r", "--0x\r"),
        &[],
        "error data_before",
        Some(MultipartError::InvalidBoundary),
    );
    check(
        &form.replace("--0\r", "-- 0\r"),
        &[],
        "error data_before",
        Some(MultipartError::InvalidBoundary),
    );
    check(
        &form.replace("--0\r", "--0\0\r"),
        &[],
        "error data_before",
        Some(MultipartError::InvalidBoundary),
    );
    check(
        &format!("--0\r\n{form}"),
        &found,
        "error invalid_part",
        Some(MultipartError::NoData),
    );
    check(&format!("\n{form}"), &found, "data_before lf_line crlf_lf_lines", None);
    check(&form.replace("1\r\n", ""), &["name a", "a="], "invalid_part", None);
    let quoted = form.replace("--0\r", "--\"0\"\r");
    let (_, flags, error) = read(
        "multipart/form-data; boundary=\"0\"",
        quoted.as_bytes(),
        &Options::default(),
    );
    assert_eq!(
        (flags.as_str(), error),
        (
            "error boundary_quoted data_before",
            Some(MultipartError::InvalidBoundary)
        )
    );
}

#[test]
fn an_invalid_part_costs_only_itself() {
    let good = part("form-data; name=a", "1");
    let form = body(&[&good, &part("bad", "2"), &good]);
    let found = ["name a", "a=1", "name a", "a=1"];
    check(
        &form,
        &found,
        "error invalid_part",
        Some(MultipartError::InvalidDisposition),
    );
}

#[test]
fn unmatched_boundaries() {
    use UnmatchedBoundary::{Matched, No, Suspected};
    let form = |data| body(&[&part("form-data; name=a", data)]);
    let twice = |data| body(&[&part("form-data; name=a", data), &part("form-data; name=a", "1")]);
    let cases = [
        ("--0--\r\n".to_owned(), No),
        (form("1"), Matched),
        (form("--x"), Matched),
        (twice("x--0"), Matched),
        (
            "--0\r\nContent-Disposition: form-data; name=a\r\n\r\nx --0--".to_owned(),
            Suspected,
        ),
        (
            "--0\r\nContent-Disposition: form-data; name=a\r\n\r\n--1\r\n".to_owned(),
            Suspected,
        ),
        (
            "--0\r\nContent-Disposition: form-data; name=a\r\n\r\n--\n".to_owned(),
            No,
        ),
    ];
    for (body, expected) in cases {
        let (_, outcome) = collect(|sink| parse(TYPE.as_bytes(), body.as_bytes(), &Options::default(), sink));
        assert_eq!(outcome.multipart.unwrap().unmatched_boundary, expected, "{body:?}");
    }
}

#[test]
fn media_types() {
    let invalid = Some(MultipartError::InvalidBoundaryParameter);
    let long = format!("multipart/form-data; boundary=0{}", " ".repeat(1000));
    let cases = [
        ("multipart/form-data;boundary=0", "", None),
        ("Multipart/Form-Data;\t boundary=0", "", None),
        ("multipart/form-data; boundary=\"0\"", "boundary_quoted", None),
        ("multipart/form-data boundary=0", "missing_semicolon", None),
        ("multipart/form-data; boundary =0", "boundary_whitespace", None),
        (
            "multipart/form-data",
            "error",
            Some(MultipartError::NoBoundaryParameter),
        ),
        (
            "multipart/form-data; boundary=0; boundary=1",
            "error",
            Some(MultipartError::SeveralBoundaries),
        ),
        (
            "multipart/form-data; boundary=0; BOUNDARY=1",
            "error",
            Some(MultipartError::SeveralBoundaries),
        ),
        ("multipart/form-data; Boundary=0", "error", invalid),
        ("multipart/form-data; boundary=0 ", "error", invalid),
        ("multipart/form-data; boundary=0; charset=utf-8", "error", invalid),
        ("multipart/form-data; charset=utf-8; boundary=0", "error", invalid),
        ("multipart/form-data;; boundary=0", "error", invalid),
        ("multipart/form-data, boundary=0", "error", invalid),
        ("multipart/form-datax; boundary=0", "error", invalid),
        ("multipart/form-data; boundaryx=0", "error", invalid),
        ("multipart/form-data; boundary", "error", invalid),
        ("multipart/form-data; boundary=", "error", invalid),
        ("multipart/form-data; boundary=\"\"", "error boundary_quoted", invalid),
        ("multipart/form-data; boundary=\"0", "error", invalid),
        ("multipart/form-data; boundary=0\"", "error", invalid),
        ("multipart/form-data; boundary=\"0 \"", "error boundary_quoted", invalid),
        ("multipart/mixed; boundary=0", "error", Some(MultipartError::MediaType)),
        ("", "error", Some(MultipartError::MediaType)),
        (&long, "error", Some(MultipartError::MediaType)),
    ];
    for (content_type, flags, error) in cases {
        let form = body(&[&part("form-data; name=a", "1")]);
        let (found, actual, actual_error) = read(content_type, form.as_bytes(), &Options::default());
        assert_eq!((actual.as_str(), actual_error), (flags, error), "{content_type}");
        assert_eq!(found.is_empty(), error.is_some(), "{content_type}");
    }
}

#[test]
fn limits() {
    let argument = part("form-data; name=a", "1");
    let file = part("form-data; name=a; filename=b", "1");
    let options = Options {
        arguments: 1,
        files: 1,
        parts: 3,
        ..Options::default()
    };
    let read = |parts: &[&str]| read(TYPE, body(parts).as_bytes(), &options);
    let (_, flags, error) = read(&[&argument, &file]);
    assert_eq!((flags.as_str(), error), ("", None));
    let (found, flags, error) = read(&[&argument, &argument]);
    assert_eq!(
        (flags.as_str(), error),
        ("error", Some(MultipartError::TooManyArguments))
    );
    assert_eq!(found, ["name a", "a=1", "name a"]);
    let (_, flags, error) = read(&[&file, &file]);
    assert_eq!(
        (flags.as_str(), error),
        ("error file_limit_exceeded", Some(MultipartError::TooManyFiles))
    );
    let (found, flags, error) = read(&[&argument, &file, &file, &file]);
    assert_eq!(
        (flags.as_str(), error),
        ("error file_limit_exceeded", Some(MultipartError::TooManyFiles))
    );
    assert_eq!(found.iter().filter(|found| found.starts_with("file ")).count(), 2);
    let (found, _, error) = read(&[&argument, &file, &argument, &argument]);
    assert_eq!(error, Some(MultipartError::TooManyArguments));
    assert_eq!(found.iter().filter(|found| *found == "name a").count(), 3, "{found:?}");
    let options = Options {
        parts: 1,
        ..Options::default()
    };
    let (found, _, error) = self::read(TYPE, body(&[&argument, &argument]).as_bytes(), &options);
    assert_eq!((found.len(), error), (2, Some(MultipartError::TooManyParts)));
}

#[test]
fn long_names_with_many_headers_are_no_amplifier() {
    let part = format!(
        "Content-Disposition: form-data; name={}\r\n{}\r\n1",
        "n".repeat(4000),
        (10..40).map(|number| format!("{number}:\r\n")).collect::<String>()
    );
    let form = body(&vec![part.as_str(); 500]);
    let (_, outcome) = collect(|sink| parse(TYPE.as_bytes(), form.as_bytes(), &Options::default(), sink));
    assert_eq!(
        outcome.error,
        Some(super::super::BodyError::Multipart(MultipartError::HeaderTooLong))
    );
    assert!(outcome.work < 6 * form.len(), "{} of {}", outcome.work, form.len());
}
