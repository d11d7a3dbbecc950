//! What a target of a rule selects. No IO.

use coraza_seclang::rules::Variable;

use super::Variables;
use crate::collection::{Bytes, Entry};

/// A value that a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) variable: Variable,
    /// The key, if the variable is a collection.
    pub(crate) key: Option<Bytes>,
    pub(crate) bytes: Bytes,
}

impl Value {
    /// `ARGS:name` or `REQUEST_URI`, as rules and logs call it.
    pub(crate) fn name(&self) -> Vec<u8> {
        let variable = self.variable.name().as_bytes();
        match &self.key {
            Some(key) => [variable, b":", key].concat(),
            None => variable.to_vec(),
        }
    }
}

/// What of an entry a variable is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Value,
    Name,
}

/// The collections that a variable is made of, in order, and what of them it shows.
pub(crate) fn sources(variable: Variable) -> (&'static [Variable], Part) {
    use Variable as V;
    const ARGS: &[Variable] = &[V::ArgsGet, V::ArgsPost, V::ArgsPath];
    match variable {
        V::Args => (ARGS, Part::Value),
        V::ArgsNames => (ARGS, Part::Name),
        V::ArgsGet => (&[V::ArgsGet], Part::Value),
        V::ArgsGetNames => (&[V::ArgsGet], Part::Name),
        V::ArgsPost => (&[V::ArgsPost], Part::Value),
        V::ArgsPostNames => (&[V::ArgsPost], Part::Name),
        V::ArgsPath => (&[V::ArgsPath], Part::Value),
        V::RequestHeaders => (&[V::RequestHeaders], Part::Value),
        V::RequestHeadersNames => (&[V::RequestHeaders], Part::Name),
        V::RequestCookies => (&[V::RequestCookies], Part::Value),
        V::RequestCookiesNames => (&[V::RequestCookies], Part::Name),
        V::ResponseHeaders => (&[V::ResponseHeaders], Part::Value),
        V::ResponseHeadersNames => (&[V::ResponseHeaders], Part::Name),
        V::ResponseArgs => (&[V::ResponseArgs], Part::Value),
        V::Files => (&[V::Files], Part::Value),
        V::FilesNames => (&[V::Files], Part::Name),
        V::FilesSizes => (&[V::FilesSizes], Part::Value),
        V::MultipartFilename => (&[V::MultipartFilename], Part::Value),
        V::MultipartName => (&[V::MultipartName], Part::Value),
        V::MultipartPartHeaders => (&[V::MultipartPartHeaders], Part::Value),
        V::Xml | V::RequestXml => (&[V::Xml], Part::Value),
        V::ResponseXml => (&[V::ResponseXml], Part::Value),
        V::MatchedVars => (&[V::MatchedVars], Part::Value),
        V::MatchedVarsNames => (&[V::MatchedVars], Part::Name),
        V::Tx => (&[V::Tx], Part::Value),
        // Nothing fills the others.
        _ => (&[], Part::Value),
    }
}

impl Variables {
    /// The values of a collection, all or those of a key, in order of arrival.
    pub(crate) fn entries<'a>(&'a self, variable: Variable, key: Option<&'a [u8]>) -> impl Iterator<Item = Value> + 'a {
        let (sources, part) = sources(variable);
        let entries = sources.iter().flat_map(|source| self.collection(*source));
        let wanted = entries.filter(move |entry| key.is_none_or(|key| entry.key.eq_ignore_ascii_case(key)));
        wanted.map(move |entry| value(variable, entry, part))
    }
}

fn value(variable: Variable, entry: &Entry, part: Part) -> Value {
    let bytes = match part {
        Part::Value => &entry.value,
        Part::Name => &entry.key,
    };
    Value {
        variable,
        key: Some(Bytes::clone(&entry.key)),
        bytes: Bytes::clone(bytes),
    }
}
