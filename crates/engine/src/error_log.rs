//! The text of the error log: one line for each match, in ModSecurity's form, because people and programs search for it. No IO.

use std::fmt;

use coraza_seclang::rules::{Severity, Variable};

use crate::event::{MatchedRule, escape};
use crate::interruption::{Cause, Interruption};
use crate::transaction::{Report, State};

/// How many bytes of a text a line holds, as in ModSecurity.
const MAX_TEXT: usize = 200;

/// Where a limit of work or memory doesn't end the transaction, what was not looked at must be known all the same.
pub(crate) const EXCEEDED: &str =
    "Warning. The rules reached the limit of their work, regular expressions after it didn't match.";

/// What all matches of a transaction share, shown as a log may show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub client: String,
    /// The server's.
    pub server: String,
    /// The request's path, without the query.
    pub path: String,
    /// `UNIQUE_ID`.
    pub unique_id: String,
}

impl State {
    /// Where the transaction comes from.
    pub(crate) fn origin(&self) -> Origin {
        let shown = |variable| {
            let value = self.variables.get(variable);
            value.map(|value| escape(value, MAX_TEXT)).unwrap_or_default()
        };
        Origin {
            client: shown(Variable::RemoteAddr),
            server: shown(Variable::ServerAddr),
            path: shown(Variable::RequestFilename),
            unique_id: shown(Variable::UniqueId),
        }
    }
}

impl Report {
    /// The lines for the error log, in order, each with its severity if the rule has one.
    pub fn error_log(&self) -> impl Iterator<Item = (Option<Severity>, String)> + '_ {
        let matched = self.matched.iter().filter(|rule| rule.log);
        let matched = matched.map(|rule| (rule.severity, self.line(rule)));
        let limit = self.interruption.iter().filter(|_| self.interrupted);
        let limit = limit.filter(|interruption| !matches!(interruption.cause, Cause::Rule(_)));
        let cut = (self.exceeded && !self.interrupted).then(|| (None, self.line(EXCEEDED)));
        matched.chain(limit.map(|limit| (None, self.line(limit)))).chain(cut)
    }

    fn line(&self, what: impl fmt::Display) -> String {
        let Origin {
            client,
            server,
            path,
            unique_id,
        } = &self.origin;
        format!(
            "[client {client}] ModSecurity: {what} [hostname \"{}\"] [uri \"{}\"] [unique_id \"{}\"]",
            Quoted(server),
            Quoted(path),
            Quoted(unique_id)
        )
    }
}

impl MatchedRule {
    /// What matched what, in ModSecurity's words; empty for an action without condition.
    pub fn reason(&self) -> String {
        let (name, argument) = self.operator.split_once(' ').unwrap_or((&self.operator, ""));
        match name.trim_start_matches(['!', '@']) {
            "" => String::new(),
            "detectSQLi" => "detected SQLi using libinjection.".to_owned(),
            "detectXSS" => "detected XSS using libinjection.".to_owned(),
            // The first quote is never closed; programs that read these lines know that.
            name => format!(
                "Matched \"Operator `{}' with parameter `{}' against variable `{}' (Value: `{}' )",
                class(name),
                Quoted(argument),
                Quoted(&self.variable),
                Quoted(&self.value)
            ),
        }
    }
}

/// What ModSecurity's logs call an operator: the name of its class.
fn class(operator: &str) -> String {
    match operator {
        "streq" => "StrEq".to_owned(),
        "strmatch" => "StrMatch".to_owned(),
        _ => {
            let mut letters = operator.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    }
}

impl fmt::Display for MatchedRule {
    /// What a match says by itself; [`Report::error_log`] adds what all of a transaction share.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "Access denied with code {status} (phase {}). ", self.phase.number())?,
            None => f.write_str("Warning. ")?,
        }
        write!(
            f,
            "{} [file \"{}\"] [line \"{}\"]",
            self.reason(),
            Quoted(&self.file),
            self.line
        )?;
        let Self {
            rev,
            message,
            data,
            ver,
            ..
        } = self;
        // Not every rule has a number; ModSecurity's is 0 then.
        write!(
            f,
            " [id \"{}\"] [rev \"{}\"]",
            self.id.map_or(0, |id| id.0),
            Quoted(rev)
        )?;
        write!(f, " [msg \"{}\"] [data \"{}\"]", Quoted(message), Quoted(data))?;
        let severity = self.severity.map_or(0, Severity::number);
        write!(f, " [severity \"{severity}\"] [ver \"{}\"]", Quoted(ver))?;
        write!(f, " [maturity \"{}\"] [accuracy \"{}\"]", self.maturity, self.accuracy)?;
        self.tags
            .iter()
            .try_for_each(|tag| write!(f, " [tag \"{}\"]", Quoted(tag)))
    }
}

impl fmt::Display for Interruption {
    /// For interruptions without a rule, as the matches of those with one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Access denied with code {} (phase {}). {}.",
            self.status,
            self.phase.number(),
            self.cause
        )
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(Some(id)) => write!(f, "Rule {id} matched"),
            Self::Rule(None) => f.write_str("A rule without id matched"),
            Self::RequestBodyLimit => f.write_str("Request body is larger than the configured limit"),
            Self::ResponseBodyLimit => f.write_str("Response body is larger than the configured limit"),
            Self::WorkLimit => f.write_str("The rules reached the limit of their work"),
        }
    }
}

/// A text between double quotes, from which it can't break out.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.0.split('"');
        parts.next().map_or(Ok(()), |part| f.write_str(part))?;
        parts.try_for_each(|part| write!(f, "\\\"{part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_the_names_that_logs_know() {
        let names = ["rx", "streq", "strmatch", "pmFromFile", "validateByteRange", ""].map(class);
        assert_eq!(
            names,
            ["Rx", "StrEq", "StrMatch", "PmFromFile", "ValidateByteRange", ""]
        );
    }
}
