//! A test: requests, their responses, and what is expected of the rules. No IO.

/// One test.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its name, `942100-1`: the rule and the number of the test.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// What groups it, its file's tags included.
    pub tags: Vec<String>,
    /// Whether it must be blocked, where that is what it is about.
    pub blocked: Option<bool>,
    /// Its requests, one after the other.
    pub stages: Vec<Stage>,
}

/// One request, its response, and what is expected.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The server's port.
    pub port: u16,
    /// What is sent.
    pub request: Request,
    /// What the web server answers.
    pub response: Response,
    /// What is expected.
    pub expected: Expected,
}

/// A request as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`.
    pub method: Vec<u8>,
    /// `/path?query`.
    pub uri: Vec<u8>,
    /// `HTTP/1.1`.
    pub version: Vec<u8>,
    /// Names and values, in order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of the first header of a name.
    #[must_use]
    pub fn header(&self, name: &[u8]) -> Option<&[u8]> {
        let mut named = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_slice())
    }
}

/// A response as it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values, in order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Default for Response {
    /// What the backend of the Core Rule Set's tests answers if it isn't asked for anything else.
    fn default() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

/// What is expected of the rules, and of the answer that the client sees.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Rules that are logged.
    pub ids: Vec<u64>,
    /// Rules that aren't.
    pub no_ids: Vec<u64>,
    /// A regular expression that matches what is logged.
    pub log_contains: Option<String>,
    /// One that doesn't.
    pub no_log_contains: Option<String>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// A text in the answer's body.
    pub response_contains: Option<String>,
    /// Whether there is no answer at all.
    pub error: bool,
    /// Whether no other rule than those is logged.
    pub isolated: bool,
}
