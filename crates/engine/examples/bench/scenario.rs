//! The requests that speed is measured with, named as in the performance harness of the operator's Go counterpart. No IO.

/// A request, the same each time.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// Whether the rules must block it.
    pub(crate) attack: bool,
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        get("baseline-get", "/products/list?page=2"),
        get("args-light", &format!("/search?{}", fields(5))),
        get("args-heavy", &format!("/search?{}", fields(25))),
        headers_heavy(),
        form("body-100b", format!("comment={}", prose(92))),
        form("body-1kb", format!("comment={}", prose(1016))),
        form("body-10kb", format!("comment={}", prose(10_232))),
        form("body-100kb", format!("comment={}", prose(102_392))),
        form("form-urlencoded", fields(25)),
        json("json-1kb", 1 << 10),
        json("json-100kb", 100 << 10),
        multipart(),
        attack(get("attack-sqli", "/products?id=1%27%20OR%20%271%27%3D%271%27%20--%20")),
        attack(get("attack-keyword", "/download?file=../../../../etc/passwd")),
    ]
}

/// What a browser sends.
fn headers() -> Vec<(Vec<u8>, Vec<u8>)> {
    [
        ("Host", "shop.example.com"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ),
        (
            "Accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate, br"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into()
}

fn get(name: &'static str, uri: &str) -> Scenario {
    Scenario {
        name,
        method: "GET",
        uri: uri.to_owned(),
        headers: headers(),
        body: Vec::new(),
        attack: false,
    }
}

fn attack(scenario: Scenario) -> Scenario {
    Scenario {
        attack: true,
        ..scenario
    }
}

fn post(name: &'static str, content_type: &str, body: Vec<u8>) -> Scenario {
    let mut scenario = get(name, "/api/submit");
    scenario.method = "POST";
    scenario.headers.push(("Content-Type".into(), content_type.into()));
    scenario
        .headers
        .push(("Content-Length".into(), body.len().to_string().into_bytes()));
    scenario.body = body;
    scenario
}

fn form(name: &'static str, body: String) -> Scenario {
    post(name, "application/x-www-form-urlencoded", body.into_bytes())
}

fn headers_heavy() -> Scenario {
    let mut scenario = get("headers-heavy", "/products/list?page=2");
    for number in 0..10 {
        let name = format!("X-Request-Context-{number}");
        let value =
            format!("tenant-{number}; region=eu-west-{number}; trace=4bf92f3577b34da6a3ce929d0e0e47{number:02}");
        scenario.headers.push((name.into_bytes(), value.into_bytes()));
    }
    scenario
}

/// `field_0=value+0&…`
fn fields(count: usize) -> String {
    let field = |number: usize| format!("field_{number}={}+{number}", WORDS[number % WORDS.len()]);
    (0..count).map(field).collect::<Vec<_>>().join("&")
}

/// A document of about `length` bytes with many short values.
fn json(name: &'static str, length: usize) -> Scenario {
    let mut items = Vec::new();
    let mut written = 0;
    for number in 0.. {
        let item = format!(
            r#"{{"id":{number},"name":"{} {}","price":{}.99,"stock":true}}"#,
            WORDS[number % WORDS.len()],
            WORDS[(number * 7 + 3) % WORDS.len()],
            number % 90 + 9
        );
        written += item.len() + 1;
        items.push(item);
        // 900 items have fewer values than may be arguments.
        if written >= length || items.len() == 190 {
            break;
        }
    }
    // The rest of a large document is one text.
    let rest = prose(length.saturating_sub(written));
    let body = format!(
        r#"{{"items":[{}],"notes":"{}"}}"#,
        items.join(","),
        rest.replace('+', " ")
    );
    post(name, "application/json", body.into_bytes())
}

fn multipart() -> Scenario {
    let part = |disposition: &str, content: &str| {
        format!("--boundary42\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    };
    let body = [
        part("name=\"title\"", "Holiday pictures"),
        part("name=\"album\"", "summer 2026"),
        part(
            "name=\"upload\"; filename=\"beach.txt\"",
            &prose(2000).replace('+', " "),
        ),
        "--boundary42--\r\n".to_owned(),
    ]
    .concat();
    post(
        "multipart",
        "multipart/form-data; boundary=boundary42",
        body.into_bytes(),
    )
}

const WORDS: [&str; 16] = [
    "garden", "window", "yellow", "market", "summer", "planet", "bridge", "silver", "coffee", "letter", "harbour",
    "meadow", "lantern", "pepper", "travel", "pillow",
];

/// Words of a harmless text, `length` bytes of them.
fn prose(length: usize) -> String {
    let mut text = String::new();
    // A fixed walk through the words, so that the text isn't a short cycle.
    let mut at = 1_usize;
    while text.len() < length {
        at = at.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
        text.push_str(WORDS[(at >> 16) % WORDS.len()]);
        text.push('+');
    }
    text.truncate(length);
    text
}
