//! Operators: names to what they compare with. No IO.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::argument::digits;
use super::text::{pattern, template, text};
use crate::ast;
use crate::error::{Diagnostic, Kind};
use crate::lexer::Word;
use crate::parser::Context;
use crate::rules::{Country, Network, Operand, OperandKind, Operator, OperatorName, Template, Text};

/// What an operator means. One that can't be read is taken for one that never matches, after it was reported.
pub(super) fn operator(written: &ast::Operator<'_>, context: &mut Context) -> Operator {
    let ast::Operator {
        text: whole,
        negated,
        name: written_name,
        argument: word,
    } = *written;
    let Some(name) = written_name.map_or(Some(OperatorName::Rx), |name| known(name, context)) else {
        let argument = Template {
            text: text(word),
            macros: Box::default(),
        };
        return Operator {
            name: OperatorName::NoMatch,
            negated,
            argument,
            operand: Operand::Opaque,
            span: whole.span(),
        };
    };
    outside_sandbox(name, written, context);
    let kind = name.operand();
    let argument = match kind {
        OperandKind::Text | OperandKind::Number => template(word, context),
        OperandKind::Pattern => pattern(word, context),
        _ => Template {
            text: text(word),
            macros: Box::default(),
        },
    };
    let operand = operand(name, word, context);
    Operator {
        name,
        negated,
        argument,
        operand,
        span: whole.span(),
    }
}

fn known(name: Word<'_>, context: &mut Context) -> Option<OperatorName> {
    let known = OperatorName::parse(name.bytes());
    if known.is_none() {
        let nearest = context.diagnostics.nearest(&OperatorName::NAMES, name.bytes());
        let message = format!("unknown operator `@{}`", name.shown());
        context
            .diagnostics
            .push(Diagnostic::error(Kind::UnknownOperator, name.span(), message).suggest("@", nearest));
    }
    known
}

/// Refuses what would leave the process.
fn outside_sandbox(name: OperatorName, written: &ast::Operator<'_>, context: &mut Context) {
    let reason = match name {
        OperatorName::InspectFile => "it runs a program",
        OperatorName::GsbLookup => "it reads a data base",
        OperatorName::PmFromFile | OperatorName::IpMatchFromFile if is_url(written.argument.bytes()) => {
            "it fetches a URL"
        }
        OperatorName::Rbl => {
            return context.warn(
                Kind::NoEffect,
                written.text,
                "`@rbl` asks no name server here, so it never matches",
            );
        }
        OperatorName::GeoLookup => {
            return context.warn(
                Kind::NoEffect,
                written.text,
                "`@geoLookup` has no data base here, so it never matches",
            );
        }
        _ => return,
    };
    let hint = "rules run in a sandbox without files, network and programs";
    context.error_hint(
        Kind::OutsideSandbox,
        written.text,
        format!("`@{name}` can't be used: {reason}"),
        hint,
    );
}

fn is_url(bytes: &[u8]) -> bool {
    [&b"http://"[..], b"https://"].iter().any(|scheme| {
        let start = bytes.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

fn operand(name: OperatorName, word: Word<'_>, context: &mut Context) -> Operand {
    let kind = name.operand();
    let needed = matches!(
        kind,
        OperandKind::Words
            | OperandKind::Files
            | OperandKind::Dataset
            | OperandKind::Networks
            | OperandKind::ByteRanges
            | OperandKind::NationalId
    );
    if needed && word.trim().bytes().is_empty() {
        context.error(Kind::MissingOperand, word, format!("`@{name}` needs an argument"));
        return Operand::Opaque;
    }
    match kind {
        OperandKind::Nothing => {
            if !word.trim().bytes().is_empty() {
                context.warn(
                    Kind::UnexpectedArgument,
                    word,
                    format!("`@{name}` takes no argument, this one is ignored"),
                );
            }
            Operand::Nothing
        }
        OperandKind::Text => Operand::Text,
        OperandKind::Number => {
            number(name, word, context);
            Operand::Text
        }
        OperandKind::Pattern => Operand::Pattern,
        OperandKind::Words => Operand::Words(words(word)),
        OperandKind::Files => Operand::Files(words(word)),
        OperandKind::Dataset => Operand::Dataset(text(word.trim())),
        OperandKind::Networks => Operand::Networks(networks(word, context)),
        OperandKind::ByteRanges => Operand::ByteRanges(byte_ranges(word, context)),
        OperandKind::NationalId => national_id(word, context),
        OperandKind::Opaque => Operand::Opaque,
    }
}

/// ModSecurity and Coraza take anything for a number, so what is none is only worth a warning.
fn number(name: OperatorName, word: Word<'_>, context: &mut Context) {
    let bytes = word.trim().bytes();
    let unsigned = bytes.strip_prefix(b"-").or(bytes.strip_prefix(b"+")).unwrap_or(bytes);
    let has_macro = bytes.windows(2).any(|pair| pair == b"%{");
    if !has_macro && digits(unsigned).is_none() {
        context.warn(
            Kind::InvalidOperand,
            word,
            format!("`@{name}` compares numbers, and this is none: it counts as 0"),
        );
    }
}

fn words(word: Word<'_>) -> Box<[Text]> {
    fields(word, u8::is_ascii_whitespace).map(text).collect()
}

/// The non-empty parts between separators.
fn fields<'a>(word: Word<'a>, is_separator: impl Fn(&u8) -> bool + Copy) -> impl Iterator<Item = Word<'a>> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let start = rest.bytes().iter().position(|byte| !is_separator(byte))?;
        let from = rest.from(start);
        let length = from.bytes().iter().position(is_separator).unwrap_or(from.bytes().len());
        let (field, after) = from.split(length);
        rest = after;
        Some(field)
    })
}

fn networks(word: Word<'_>, context: &mut Context) -> Box<[Network]> {
    let mut networks = Vec::new();
    for field in fields(word, |byte| *byte == b',' || byte.is_ascii_whitespace()) {
        match Network::parse(field.bytes()) {
            Some(network) => networks.push(network),
            None => {
                let message = format!("`{}` is no IP address and no network", field.shown());
                context.error_hint(
                    Kind::InvalidOperand,
                    field,
                    message,
                    "write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32",
                );
            }
        }
    }
    networks.into_boxed_slice()
}

impl Network {
    /// Reads an address or `address/prefix`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(most), |prefix| {
            digits(prefix.as_bytes()).filter(|bits| *bits <= most)
        })?;
        Some(Self {
            address,
            prefix: u8::try_from(prefix).ok()?,
        })
    }
}

fn byte_ranges(word: Word<'_>, context: &mut Context) -> Box<[RangeInclusive<u8>]> {
    let mut ranges = Vec::new();
    for field in fields(word, |byte| *byte == b',' || byte.is_ascii_whitespace()) {
        match byte_range(field.bytes()) {
            Some(range) => ranges.push(range),
            None => {
                let message = format!("`{}` is no byte value and no range of them", field.shown());
                context.error_hint(
                    Kind::InvalidOperand,
                    field,
                    message,
                    "write numbers from 0 to 255: 9,10,32-126",
                );
            }
        }
    }
    ranges.into_boxed_slice()
}

fn byte_range(bytes: &[u8]) -> Option<RangeInclusive<u8>> {
    let byte = |bytes: &[u8]| digits(bytes).and_then(|value| u8::try_from(value).ok());
    match bytes.iter().position(|byte| *byte == b'-') {
        Some(at) => {
            let range = byte(bytes.get(..at)?)?..=byte(bytes.get(at + 1..)?)?;
            (!range.is_empty()).then_some(range)
        }
        None => byte(bytes).map(|value| value..=value),
    }
}

fn national_id(word: Word<'_>, context: &mut Context) -> Operand {
    let (country, rest) = word.trim().split_space();
    let Some(country) = Country::parse(country.bytes()) else {
        let message = format!("`@validateNid` knows no country `{}`", country.shown());
        context.error_hint(
            Kind::InvalidOperand,
            country,
            message,
            "the countries are `cl` and `us`",
        );
        return Operand::Opaque;
    };
    if rest.trim().bytes().is_empty() {
        context.error(
            Kind::MissingOperand,
            word,
            "`@validateNid` needs a regular expression after the country",
        );
    }
    Operand::NationalId(country, text(rest.trim()))
}
