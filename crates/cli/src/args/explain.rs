//! `explain`: rules, and a request as curl's command line has it.

use std::path::PathBuf;

use clap::{ArgAction, ArgMatches, FromArgMatches};

use super::{ClusterFlags, OutputFlags};

/// Say which rules match a request, where they stand, and the verdict.
///
/// Nothing is sent: the request goes through the engine that gateways run, in this process. The rules are those of files (-f), or of a
/// RuleSet in the cluster (--ruleset NAME without -f). The request is written as for curl, and is what curl would send; flags of curl that
/// change nothing here are taken and ignored. With a --response flag the rules see a response, too.
///
/// A gateway adds headers of its own, such as x-forwarded-for, that aren't here.
///
/// Exit codes: 0 whatever the verdict is, with --exit-code 1 if the request is blocked; 2 it could not be run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Rules in files
  kubectl coraza explain -f deploy/samples/rules.yaml -A nikto https://shop.example/

  # A form, and the exit code of a test
  kubectl coraza explain -f deploy/samples/rules.yaml --exit-code \\
    -d comment=hello https://shop.example/order

  # What the server answers
  kubectl coraza explain -f deploy/samples/rules.yaml \\
    --response-status 500 --response-body 'SQL syntax error' https://shop.example/

  # The RuleSet shop of the cluster
  kubectl coraza explain -n shop --ruleset shop 'https://shop.example/?q=evil'")]
pub(crate) struct Explain {
    /// The URL; a /path alone is one of localhost
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// A file or folder of rules or manifests, or - for standard input; several are taken together, in this order
    #[arg(short = 'f', long = "filename", value_name = "PATH", help_heading = "Rules")]
    pub(crate) files: Vec<PathBuf>,
    /// A RuleSet of the cluster, or one of several in the files: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME", required_unless_present = "files", help_heading = "Rules")]
    pub(crate) ruleset: Option<String>,
    /// Exit with 1 if the request is blocked
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    #[command(flatten)]
    pub(crate) request: RequestFlags,
    #[command(flatten)]
    pub(crate) body: BodyFlags,
    #[command(flatten)]
    pub(crate) response: ResponseFlags,
    #[command(flatten)]
    pub(crate) cluster: ClusterFlags,
}

/// Flags with curl's names and meanings.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Request, as for curl")]
pub(crate) struct RequestFlags {
    /// The method
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(crate) method: Option<String>,
    /// A header 'Name: value'; 'Name:' leaves one out, 'Name;' sends an empty one
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// The User-Agent
    #[arg(short = 'A', long, value_name = "TEXT")]
    pub(crate) user_agent: Option<String>,
    /// Cookies 'name=value; other=value'
    #[arg(short = 'b', long = "cookie", value_name = "COOKIES")]
    pub(crate) cookies: Vec<String>,
    /// USER:PASSWORD of basic authentication; kubectl has --user for the kubeconfig's
    #[arg(short = 'u', value_name = "USER:PASSWORD")]
    pub(crate) credentials: Option<String>,
    /// The Referer
    #[arg(short = 'e', long, value_name = "URL")]
    pub(crate) referer: Option<String>,
    /// Put the data into the query
    #[arg(short = 'G', long)]
    pub(crate) get: bool,
    /// A HEAD request
    #[arg(short = 'I', long)]
    pub(crate) head: bool,
    /// HTTP/1.0
    #[arg(short = '0', long = "http1.0", conflicts_with = "http2")]
    pub(crate) http1_0: bool,
    /// HTTP/2
    #[arg(long = "http2")]
    pub(crate) http2: bool,
    /// Leave /../ and /./ in the path
    #[arg(long)]
    pub(crate) path_as_is: bool,
    /// Ask for a compressed answer
    #[arg(long)]
    pub(crate) compressed: bool,
    /// The client's IP address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) client_address: std::net::IpAddr,
    /// Flags of curl that change nothing here.
    #[arg(short = 's', long = "silent", hide = true)]
    silent: bool,
    #[arg(short = 'S', long = "show-error", hide = true)]
    show_error: bool,
    #[arg(short = 'k', long = "insecure", hide = true)]
    insecure: bool,
    #[arg(short = 'L', long = "location", hide = true)]
    location: bool,
    #[arg(short = 'i', long = "include", hide = true)]
    include: bool,
    #[arg(short = 'v', long = "verbose", hide = true)]
    verbose: bool,
    #[arg(short = 'g', long = "globoff", hide = true)]
    globoff: bool,
}

/// What the server is taken to answer.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Response")]
pub(crate) struct ResponseFlags {
    /// The status; 200 if another of these flags is given
    #[arg(id = "response-status", long = "response-status", value_name = "STATUS")]
    pub(crate) status: Option<u16>,
    /// A header 'Name: value'; without Content-Type the type is guessed from the body
    #[arg(id = "response-header", long = "response-header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// The body; @file reads it from a file
    #[arg(id = "response-body", long = "response-body", value_name = "BODY")]
    pub(crate) body: Option<String>,
}

impl ResponseFlags {
    /// Whether there is a response at all.
    pub(crate) fn is_given(&self) -> bool {
        self.status.is_some() || !self.headers.is_empty() || self.body.is_some()
    }
}

/// A part of the body, by the flag that it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// `-d`: text, or @file without its line ends.
    Data(String),
    /// `--data-raw`: text.
    Raw(String),
    /// `--data-binary`: text, or @file as it is.
    Binary(String),
    /// `--data-urlencode`: `content`, `=content`, `name=content`, `@file`, `name@file`.
    Urlencode(String),
    /// `--json`: as `Binary`, with its headers.
    Json(String),
    /// `-F`: `name=content`, `name=@file;type=...`, `name=<file`.
    Form(String),
    /// `--form-string`: `name=content`.
    FormString(String),
}

/// The parts of the body in the order of the command line, which clap's derive doesn't keep across flags.
#[derive(Debug, Default)]
pub(crate) struct BodyFlags {
    pub(crate) parts: Vec<Part>,
}

/// A flag that adds to the body.
struct PartFlag {
    name: &'static str,
    short: Option<char>,
    value: &'static str,
    help: &'static str,
    part: fn(String) -> Part,
}

const PARTS: [PartFlag; 7] = [
    PartFlag {
        name: "data",
        short: Some('d'),
        value: "DATA",
        help: "A part of a form's body, joined to others by &; @file reads it from a file without line ends",
        part: Part::Data,
    },
    PartFlag {
        name: "data-raw",
        short: None,
        value: "DATA",
        help: "The same, but @ means nothing",
        part: Part::Raw,
    },
    PartFlag {
        name: "data-binary",
        short: None,
        value: "DATA",
        help: "The same, but a file is taken as it is",
        part: Part::Binary,
    },
    PartFlag {
        name: "data-urlencode",
        short: None,
        value: "DATA",
        help: "The same, percent-encoded: content, =content, name=content, @file or name@file",
        part: Part::Urlencode,
    },
    PartFlag {
        name: "json",
        short: None,
        value: "DATA",
        help: "A body of JSON, or @file",
        part: Part::Json,
    },
    PartFlag {
        name: "form",
        short: Some('F'),
        value: "NAME=CONTENT",
        help: "A part of a multipart body: name=content, name=@file to upload, name=<file",
        part: Part::Form,
    },
    PartFlag {
        name: "form-string",
        short: None,
        value: "NAME=CONTENT",
        help: "The same, but @ and < mean nothing",
        part: Part::FormString,
    },
];

impl clap::Args for BodyFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(PARTS.iter().map(|flag| {
            clap::Arg::new(flag.name)
                .long(flag.name)
                .short(flag.short)
                .value_name(flag.value)
                .help(flag.help)
                .help_heading("Request, as for curl")
                .action(ArgAction::Append)
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for BodyFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let mut parts: Vec<(usize, Part)> = PARTS
            .iter()
            .flat_map(|flag| {
                let indices = matches.indices_of(flag.name).into_iter().flatten();
                let values = matches.get_many::<String>(flag.name).into_iter().flatten();
                indices.zip(values.map(|value| (flag.part)(value.clone())))
            })
            .collect();
        parts.sort_by_key(|(index, _)| *index);
        self.parts = parts.into_iter().map(|(_, part)| part).collect();
        Ok(())
    }
}
