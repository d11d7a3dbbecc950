//! Operators made ready to run: patterns and words compiled, networks sorted. No IO.

use std::sync::Arc;

use coraza_seclang::rules::{Country, Operand, Operator, OperatorName, Template, Text};
use coraza_seclang::{Diagnostic, Kind};

use super::compile::Compilation;
use super::patterns::PatternId;
use crate::operators::networks::Networks;
use crate::operators::rest_path::RestPath;
use crate::operators::validate::ByteRanges;
use crate::operators::words::Words;
use crate::operators::{identity, text};

/// What a value is compared with, and how.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// `unconditionalMatch`, and `SecAction`.
    Always,
    /// `noMatch`, and those that would ask others: `geoLookup`, `rbl`.
    Never,
    /// `rx`.
    Rx(PatternId),
    /// `rxGlobal`.
    RxGlobal(PatternId),
    /// `rx` and `rxGlobal` whose pattern depends on the transaction.
    DynamicRx(Template),
    /// `restpath`: its pattern, and the names of its groups.
    RestPath(PatternId, Box<[Box<[u8]>]>),
    /// `contains` and its kin: value and argument.
    Text(fn(&[u8], &[u8]) -> bool, Template),
    /// `eq`, `ge`, `gt`, `le`, `lt`.
    Number(fn(&i64, &i64) -> bool, Template),
    /// `pm`, `pmFromFile`, `pmFromDataset`.
    Words(Arc<Words>),
    /// `ipMatch`, `ipMatchFromFile`, `ipMatchFromDataset`.
    Networks(Arc<Networks>),
    /// `validateByteRange`.
    ByteRanges(ByteRanges),
    /// `validateUrlEncoding` and `validateUtf8Encoding`.
    Encoding(fn(&[u8]) -> bool),
    /// `detectSQLi`.
    Sqli,
    /// `detectXSS`.
    Xss,
    /// `verifyCC` and its kin: some match of the pattern has the right check digits.
    Identity(PatternId, fn(&[u8]) -> bool),
}

impl<'a> Compilation<'a> {
    /// The test of an operator; `Err` says why it can't be used.
    pub(super) fn test(&mut self, operator: &'a Operator) -> Result<Test, Diagnostic> {
        use OperatorName as O;
        let argument = || operator.argument.clone();
        Ok(match operator.name {
            O::UnconditionalMatch => Test::Always,
            O::NoMatch | O::GeoLookup | O::Rbl => Test::Never,
            O::Rx | O::RxGlobal if !operator.argument.is_static() => Test::DynamicRx(argument()),
            O::Rx => Test::Rx(self.pattern(&operator.argument.text)?),
            O::RxGlobal => Test::RxGlobal(self.pattern(&operator.argument.text)?),
            O::RestPath => {
                let path = RestPath::parse(&operator.argument.text);
                let locate = |_| operator.argument.text.span;
                Test::RestPath(self.pattern_of(&path.pattern, locate)?, path.names)
            }
            O::BeginsWith => Test::Text(text::begins_with, argument()),
            O::Contains | O::StrMatch => Test::Text(text::contains, argument()),
            O::ContainsWord => Test::Text(text::contains_word, argument()),
            O::EndsWith => Test::Text(text::ends_with, argument()),
            O::StrEq => Test::Text(text::equals, argument()),
            O::Within => Test::Text(text::within, argument()),
            O::Eq => Test::Number(i64::eq, argument()),
            O::Ge => Test::Number(i64::ge, argument()),
            O::Gt => Test::Number(i64::gt, argument()),
            O::Le => Test::Number(i64::le, argument()),
            O::Lt => Test::Number(i64::lt, argument()),
            O::Pm | O::PmFromFile | O::PmFromDataset => Test::Words(self.words(operator)?),
            O::IpMatch | O::IpMatchFromFile | O::IpMatchFromDataset => Test::Networks(self.networks(operator)?),
            O::ValidateByteRange => match &operator.operand {
                Operand::ByteRanges(ranges) => Test::ByteRanges(ranges.iter().cloned().collect()),
                _ => return Err(unreadable(operator)),
            },
            O::ValidateUrlEncoding => Test::Encoding(crate::operators::validate::is_invalid_url_encoding),
            O::ValidateUtf8Encoding => Test::Encoding(crate::operators::validate::is_invalid_utf8),
            O::DetectSqli => Test::Sqli,
            O::DetectXss => Test::Xss,
            O::VerifyCc => self.identity(&operator.argument.text, identity::is_card_number)?,
            O::VerifyCpf => self.identity(&operator.argument.text, identity::is_cpf)?,
            O::VerifySsn => self.identity(&operator.argument.text, identity::is_us_ssn)?,
            O::VerifySvnr => self.identity(&operator.argument.text, identity::is_svnr)?,
            O::ValidateNid => match &operator.operand {
                Operand::NationalId(Country::Chile, pattern) => self.identity(pattern, identity::is_chilean_rut)?,
                Operand::NationalId(Country::UnitedStates, pattern) => self.identity(pattern, identity::is_us_ssn)?,
                _ => return Err(unreadable(operator)),
            },
            O::FuzzyHash
            | O::GsbLookup
            | O::InspectFile
            | O::Rsub
            | O::ValidateDtd
            | O::ValidateHash
            | O::ValidateSchema => {
                let message = format!("`@{}` is not supported", operator.name);
                let hint = "remove the rule: it could never match";
                return Err(Diagnostic::error(Kind::Unsupported, operator.span, message).hint(hint));
            }
        })
    }

    fn identity(&mut self, pattern: &Text, is_real: fn(&[u8]) -> bool) -> Result<Test, Diagnostic> {
        Ok(Test::Identity(self.pattern(pattern)?, is_real))
    }
}

/// An operand that the parser has reported.
pub(super) fn unreadable(operator: &Operator) -> Diagnostic {
    let message = format!("`@{}` can't use this argument", operator.name);
    Diagnostic::error(Kind::InvalidOperand, operator.span, message)
}
