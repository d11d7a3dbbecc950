//! The variables of one transaction: what the connection, the request and the response say to the rules. No IO.

mod clock;
mod request;
mod response;
mod select;
mod uri;

use coraza_seclang::rules::Variable;

use crate::collection::{Bytes, Collection, Entry};

pub(crate) use clock::Clock;
pub(crate) use select::{Value, sources};

/// Values by variable: rules ask for them so often that each has its place.
#[derive(Debug)]
pub(crate) struct Variables {
    scalars: Box<[Option<Bytes>]>,
    collections: Box<[Collection]>,
    /// Grows with each change of a variable that [is settled](is_settled), so that what was read from these can be kept until then.
    version: u64,
    /// The same of TX.
    tx_version: u64,
}

/// Variables that say "no" with a 0 until something says otherwise.
const FLAGS: [Variable; 23] = [
    Variable::MultipartStrictError,
    Variable::MultipartDataAfter,
    Variable::MultipartDataBefore,
    Variable::MultipartBoundaryQuoted,
    Variable::MultipartBoundaryWhitespace,
    Variable::MultipartCrlfLfLines,
    Variable::MultipartFileLimitExceeded,
    Variable::MultipartHeaderFolding,
    Variable::MultipartInvalidHeaderFolding,
    Variable::MultipartInvalidPart,
    Variable::MultipartInvalidQuoting,
    Variable::MultipartLfLine,
    Variable::MultipartMissingSemicolon,
    Variable::MultipartUnmatchedBoundary,
    Variable::ReqbodyError,
    Variable::ReqbodyProcessorError,
    Variable::InboundDataError,
    Variable::UrlencodedError,
    Variable::OutboundDataError,
    Variable::ResBodyError,
    Variable::ResBodyProcessorError,
    Variable::RequestBodyLength,
    Variable::MscPcreError,
];

impl Variables {
    /// Those of a transaction about which nothing is known yet.
    pub(crate) fn new() -> Self {
        let zero = Bytes::from(*b"0");
        let mut variables = Self {
            scalars: std::iter::repeat_with(|| None).take(Variable::ALL.len()).collect(),
            collections: std::iter::repeat_with(Collection::default)
                .take(Variable::ALL.len())
                .collect(),
            version: 0,
            tx_version: 0,
        };
        for flag in FLAGS {
            variables.set(flag, Bytes::clone(&zero));
        }
        variables.set(Variable::HighestSeverity, *b"255");
        variables
    }

    /// Sets a variable that holds one value.
    pub(crate) fn set(&mut self, variable: Variable, value: impl Into<Bytes>) {
        self.note_change(variable);
        if let Some(place) = self.scalars.get_mut(variable as usize) {
            *place = Some(value.into());
        }
    }

    /// Sets a variable to a number.
    pub(crate) fn set_number(&mut self, variable: Variable, number: u64) {
        self.set(variable, number.to_string().into_bytes());
    }

    /// The value of a variable that holds one; none if nothing has set it.
    pub(crate) fn get(&self, variable: Variable) -> Option<&Bytes> {
        self.scalars.get(variable as usize)?.as_ref()
    }

    /// The values of a variable that holds many.
    pub(crate) fn collection(&self, variable: Variable) -> impl Iterator<Item = &Entry> {
        self.collections
            .get(variable as usize)
            .into_iter()
            .flat_map(Collection::iter)
    }

    /// The first value under a key.
    pub(crate) fn find(&self, variable: Variable, key: &[u8]) -> Option<&Bytes> {
        self.collections.get(variable as usize)?.get(key)
    }

    /// A collection, to be changed.
    pub(crate) fn collection_mut(&mut self, variable: Variable) -> &mut Collection {
        self.note_change(variable);
        #[allow(clippy::indexing_slicing, reason = "there is a place for each variable")]
        &mut self.collections[variable as usize]
    }

    /// Grows with each change of a variable that [is settled](is_settled).
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Grows with each change of TX.
    pub(crate) fn tx_version(&self) -> u64 {
        self.tx_version
    }

    fn note_change(&mut self, variable: Variable) {
        match variable {
            Variable::Tx => self.tx_version += 1,
            _ if is_settled(variable) => self.version += 1,
            _ => {}
        }
    }
}

/// Whether a variable changes only by [`Variables::set`] and [`Variables::collection_mut`], and hardly ever while rules run: it holds what
/// came with the request or the response. Others are computed when they are asked for, or say what rules did.
pub(crate) const fn is_settled(variable: Variable) -> bool {
    use Variable as V;
    matches!(
        variable,
        V::Args
            | V::ArgsGet
            | V::ArgsPost
            | V::ArgsPath
            | V::ArgsNames
            | V::ArgsGetNames
            | V::ArgsPostNames
            | V::Files
            | V::FilesNames
            | V::FilesSizes
            | V::FilesCombinedSize
            | V::MultipartPartHeaders
            | V::MultipartFilename
            | V::MultipartName
            | V::RequestMethod
            | V::RequestProtocol
            | V::RequestLine
            | V::RequestUri
            | V::RequestUriRaw
            | V::RequestFilename
            | V::RequestBasename
            | V::QueryString
            | V::RequestHeaders
            | V::RequestHeadersNames
            | V::RequestCookies
            | V::RequestCookiesNames
            | V::RequestBody
            | V::Xml
            | V::RequestXml
            | V::ReqbodyProcessor
            | V::ReqbodyError
            | V::ReqbodyProcessorError
            | V::UrlencodedError
            | V::MultipartStrictError
            | V::MultipartUnmatchedBoundary
            | V::ResponseStatus
            | V::ResponseHeaders
            | V::ResponseHeadersNames
            | V::ResponseBody
            | V::ResponseContentType
            | V::ResponseArgs
            | V::ResponseXml
            | V::RemoteAddr
            | V::ServerName
    )
}
