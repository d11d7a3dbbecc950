//! What curl 7.88 was seen to send for the same flags; only the User-Agent and the boundary are ours.

use std::io;

use clap::Parser as _;
use proptest::prelude::*;

use super::*;
use crate::args::{Args, Command};

/// A file for those who read one.
fn read(path: &str) -> io::Result<Vec<u8>> {
    match path {
        "body.txt" => Ok(b"one\r\ntwo & three\n".to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn sent(flags: &[&str]) -> Result<Sent, InvalidRequest> {
    let words = ["kubectl-coraza", "explain", "-f", "unread"];
    match Args::try_parse_from(words.iter().chain(flags)).unwrap().command {
        Command::Explain(args) => request(&args, &read),
        other => panic!("{other:?}"),
    }
}

/// The request as it goes over the wire.
fn wire(flags: &[&str]) -> String {
    let Request {
        method,
        uri,
        version,
        headers,
        body,
    } = sent(flags).unwrap().request;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut out = format!("{} {} {}\n", text(&method), text(&uri), text(&version));
    for (name, value) in headers {
        out.push_str(&format!("{}: {}\n", text(&name), text(&value)));
    }
    format!("{out}\n{}", text(&body))
        .replace('\r', "")
        .replace(USER_AGENT, "curl")
}

#[test]
fn a_plain_request() {
    assert_eq!(
        wire(&["https://shop.example/a/./b/../c?x=1#frag"]),
        "GET /a/c?x=1 HTTP/1.1\nHost: shop.example\nUser-Agent: curl\nAccept: */*\n\n"
    );
}

#[test]
fn bodies_are_joined_in_the_order_of_the_command_line() {
    let out = wire(&[
        "--data-urlencode",
        "q=a b&c",
        "-d",
        "x=1",
        "--data-raw",
        "@y",
        "-d",
        "@body.txt",
        "--data-binary",
        "@body.txt",
        "--data-urlencode",
        "f@body.txt",
        "--data-urlencode",
        "plain!",
        "http://h:8080",
    ]);
    assert_eq!(
        out,
        "POST / HTTP/1.1\nHost: h:8080\nUser-Agent: curl\nAccept: */*\nContent-Length: 86\n\
         Content-Type: application/x-www-form-urlencoded\n\n\
         q=a+b%26c&x=1&@y&onetwo & three&one\ntwo & three\n&f=one%0D%0Atwo+%26+three%0A&plain%21"
    );
}

#[test]
fn headers_are_replaced_left_out_and_added() {
    let out = wire(&[
        "-H",
        "User-Agent:",
        "-H",
        "accept: text/html",
        "-H",
        "X-Empty;",
        "-H",
        "Host: other",
        "-b",
        "a=1",
        "-b",
        "b=2",
        "-u",
        "me:secret",
        "-e",
        "http://r/",
        "--compressed",
        "-0",
        "-I",
        "-k",
        "-s",
        "h/",
    ]);
    assert_eq!(
        out,
        "HEAD / HTTP/1.0\nHost: other\nAuthorization: Basic bWU6c2VjcmV0\nAccept-Encoding: deflate, gzip, br, zstd\n\
         Referer: http://r/\nCookie: a=1;b=2\naccept: text/html\nX-Empty: \n\n"
    );
}

#[test]
fn forms_json_and_queries() {
    let form = wire(&[
        "-F",
        "a=1;b",
        "-F",
        "file=@body.txt;type=text/x",
        "--form-string",
        "c=@d",
        "h",
    ]);
    assert_eq!(
        form,
        format!(
            "POST / HTTP/1.1\nHost: h\nUser-Agent: curl\nAccept: */*\nContent-Length: 382\n\
             Content-Type: multipart/form-data; boundary={0}\n\n\
             --{0}\nContent-Disposition: form-data; name=\"a\"\n\n1\n\
             --{0}\nContent-Disposition: form-data; name=\"file\"; filename=\"body.txt\"\nContent-Type: text/x\n\none\ntwo & three\n\n\
             --{0}\nContent-Disposition: form-data; name=\"c\"\n\n@d\n--{0}--\n",
            "------------------------kubectlcoraza000"
        )
    );
    let json = wire(&["--json", "{\"a\":", "--json", "1}", "-X", "PUT", "h"]);
    assert!(
        json.starts_with(
            "PUT / HTTP/1.1\nHost: h\nUser-Agent: curl\nContent-Type: application/json\nAccept: application/json\n"
        ),
        "{json}"
    );
    assert!(json.ends_with("Content-Length: 7\n\n{\"a\":1}"), "{json}");
    let query = wire(&["-G", "-d", "a=1", "--data-urlencode", "b= ", "h/p?x"]);
    assert!(query.starts_with("GET /p?x&a=1&b=+ HTTP/1.1\n"), "{query}");
}

#[test]
fn urls_are_taken_apart_and_nothing_else() {
    for (url, port, host, target) in [
        ("h", 80, "h", "/"),
        ("/only?path=http://x", 80, "localhost", "/only?path=http://x"),
        ("https://h", 443, "h", "/"),
        ("https://h:443/%2e%2e/x", 443, "h", "/%2e%2e/x"),
        ("http://[::1]:81/", 81, "[::1]:81", "/"),
        ("http://[::1]/", 80, "[::1]", "/"),
        ("HTTP://u:p@h?q", 80, "h", "/?q"),
        ("h/../../a/..", 80, "h", "/"),
    ] {
        let sent = sent(&[url]).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let found = (
            sent.port,
            text(sent.request.header(b"host").unwrap()),
            text(&sent.request.uri),
        );
        assert_eq!(found, (port, host.to_owned(), target.to_owned()), "{url}");
    }
    let as_is = sent(&["--path-as-is", "h/../a"]).unwrap();
    assert_eq!(as_is.request.uri, b"/../a");
}

#[test]
fn what_is_no_request_is_an_error() {
    for (flags, message) in [
        (&["ftp://h"][..], "the scheme is http or https"),
        (&["http://"], "no URL"),
        (&["http://:80/"], "it has no host"),
        (&["http://h:x/"], "the port is no number"),
        (&["http://h:99999/"], "the port is no number"),
        (&["h/a b"], "blanks and control characters"),
        (&["-H", "nothing", "h"], "is no header"),
        (&["-H", ": x", "h"], "is no header"),
        (&["-b", "cookies.txt", "h"], "are no cookies"),
        (&["-F", "nothing", "h"], "is no part of a form"),
        (&["-F", "a=1", "-d", "b=1", "h"], "not both"),
        (&["-d", "@absent", "h"], "failed to read absent"),
    ] {
        match sent(flags) {
            Err(error) => assert!(error.to_string().contains(message), "{flags:?}: {error}"),
            Ok(sent) => panic!("{flags:?}: {sent:?}"),
        }
    }
}

proptest! {
    /// Whatever the words are, there is a request that a server can read, or an error.
    #[test]
    fn every_request_is_one_line_and_headers(
        url in "[a-z:/?#@.%\\[\\]é \t-]{0,30}",
        header in "\\PC{0,12}",
        data in "[@=&;a]{0,6}",
        form in any::<bool>(),
    ) {
        let url = format!("./{url}");
        let body = if form { "--form-string" } else { "--data-urlencode" };
        let words = ["kubectl-coraza", "explain", "-f", "unread", body, &data, &format!("--header={header}"), &url];
        let Ok(Command::Explain(args)) = Args::try_parse_from(words).map(|args| args.command) else {
            return Ok(());
        };
        if let Ok(sent) = request(&args, &read) {
            prop_assert!(!sent.request.uri.iter().any(|byte| *byte <= b' '));
            prop_assert!(sent.request.uri.starts_with(b"/"));
            prop_assert!(sent.request.header(b"host").is_some() || header.to_lowercase().contains("host"));
        }
    }
}
