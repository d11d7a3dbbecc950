//! The operators that compare a value with something. No IO.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::text::{Template, Text};
use crate::names::vocabulary;
use crate::span::Span;

vocabulary! {
    /// An operator, by name.
    OperatorName {
        BeginsWith = "beginsWith", Contains = "contains", ContainsWord = "containsWord", DetectSqli = "detectSQLi",
        DetectXss = "detectXSS", EndsWith = "endsWith", Eq = "eq", FuzzyHash = "fuzzyHash", Ge = "ge", GeoLookup = "geoLookup",
        GsbLookup = "gsbLookup", Gt = "gt", InspectFile = "inspectFile", IpMatch = "ipMatch",
        IpMatchFromDataset = "ipMatchFromDataset", IpMatchFromFile = "ipMatchFromFile" | "ipMatchF", Le = "le", Lt = "lt",
        NoMatch = "noMatch", Pm = "pm", PmFromDataset = "pmFromDataset", PmFromFile = "pmFromFile" | "pmf", Rbl = "rbl",
        RestPath = "restpath", Rsub = "rsub", Rx = "rx", RxGlobal = "rxGlobal", StrEq = "streq", StrMatch = "strmatch",
        UnconditionalMatch = "unconditionalMatch", ValidateByteRange = "validateByteRange", ValidateDtd = "validateDTD",
        ValidateHash = "validateHash", ValidateNid = "validateNid", ValidateSchema = "validateSchema",
        ValidateUrlEncoding = "validateUrlEncoding", ValidateUtf8Encoding = "validateUtf8Encoding", VerifyCc = "verifyCC",
        VerifyCpf = "verifyCPF", VerifySsn = "verifySSN", VerifySvnr = "verifySVNR", Within = "within",
    }
}

/// What the argument of an operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperandKind {
    /// There is none.
    Nothing,
    /// A text in which macros are expanded.
    Text,
    /// A number, or a text in which macros are expanded to one.
    Number,
    /// A regular expression.
    Pattern,
    /// Words.
    Words,
    /// Names of data files.
    Files,
    /// The name of a `SecDataset`.
    Dataset,
    /// IP networks.
    Networks,
    /// Ranges of byte values.
    ByteRanges,
    /// A country and a regular expression.
    NationalId,
    /// Something that isn't read further.
    Opaque,
}

impl OperatorName {
    /// What its argument is.
    pub const fn operand(self) -> OperandKind {
        match self {
            Self::DetectSqli
            | Self::DetectXss
            | Self::GeoLookup
            | Self::NoMatch
            | Self::UnconditionalMatch
            | Self::ValidateUrlEncoding
            | Self::ValidateUtf8Encoding => OperandKind::Nothing,
            Self::BeginsWith
            | Self::Contains
            | Self::ContainsWord
            | Self::EndsWith
            | Self::StrEq
            | Self::StrMatch
            | Self::Within => OperandKind::Text,
            Self::Eq | Self::Ge | Self::Gt | Self::Le | Self::Lt => OperandKind::Number,
            Self::Rx
            | Self::RxGlobal
            | Self::ValidateHash
            | Self::VerifyCc
            | Self::VerifyCpf
            | Self::VerifySsn
            | Self::VerifySvnr => OperandKind::Pattern,
            Self::Pm => OperandKind::Words,
            Self::IpMatchFromFile | Self::PmFromFile => OperandKind::Files,
            Self::IpMatchFromDataset | Self::PmFromDataset => OperandKind::Dataset,
            Self::IpMatch => OperandKind::Networks,
            Self::ValidateByteRange => OperandKind::ByteRanges,
            Self::ValidateNid => OperandKind::NationalId,
            Self::FuzzyHash
            | Self::GsbLookup
            | Self::InspectFile
            | Self::Rbl
            | Self::RestPath
            | Self::Rsub
            | Self::ValidateDtd
            | Self::ValidateSchema => OperandKind::Opaque,
        }
    }
}

/// An operator with its argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operator {
    /// Which one; `@rx` where none is written.
    pub name: OperatorName,
    /// Whether the rule matches where the operator does not (`!@rx`).
    pub negated: bool,
    /// The argument as written, with its macros.
    pub argument: Template,
    /// The argument as read.
    pub operand: Operand,
    /// The operator with its argument, without the quotes.
    pub span: Span,
}

/// An operator's argument, read as far as this needs no other source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// There is none.
    Nothing,
    /// [`Operator::argument`] is the text or number.
    Text,
    /// [`Operator::argument`] is the regular expression; macros in it are of known variables.
    Pattern,
    /// The words, at least one.
    Words(Box<[Text]>),
    /// The names of data files, at least one.
    Files(Box<[Text]>),
    /// The name of a `SecDataset`.
    Dataset(Text),
    /// The networks, at least one.
    Networks(Box<[Network]>),
    /// The allowed byte values, at least one range.
    ByteRanges(Box<[RangeInclusive<u8>]>),
    /// A country whose numbers are checked, and the regular expression that finds them.
    NationalId(Country, Text),
    /// [`Operator::argument`] isn't read further.
    Opaque,
}

vocabulary! {
    /// A country of `@validateNid`.
    Country { Chile = "cl", UnitedStates = "us", }
}

/// An IP network; an address alone is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Its address, host bits as written.
    pub address: IpAddr,
    /// How many leading bits count: at most 32 or 128.
    pub prefix: u8,
}

impl Operator {
    /// The regular expression that must be compiled for it, if it has one.
    pub fn pattern(&self) -> Option<&Text> {
        match &self.operand {
            Operand::Pattern => Some(&self.argument.text),
            Operand::NationalId(_, pattern) => Some(pattern),
            _ => None,
        }
    }

    /// The data files that it reads.
    pub fn data_files(&self) -> &[Text] {
        match &self.operand {
            Operand::Files(files) => files,
            _ => &[],
        }
    }
}
