//! Bodies of answers: gzip, JSON, base64, each within bounds. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use serde::Deserialize;

use crate::revision::Revision;

/// The largest answer of `/latest`.
const MAX_LATEST: usize = 64 << 10;

/// Why a body is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The gzip stream is broken or ends early.
    #[error("the body is no whole gzip stream")]
    Gzip,
    /// It is larger than anything that may be loaded.
    #[error("the body is too large")]
    TooLarge,
    /// It is no JSON of the form that caches write.
    #[error("the body is not the JSON of a cache")]
    Json,
    /// The uuid can't be one.
    #[error("the body has no valid uuid")]
    Uuid,
    /// There are no rules in it.
    #[error("the body has no rules")]
    Empty,
    /// A data file is no base64.
    #[error("a data file is not base64")]
    Base64,
}

/// The rules and their data files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// SecLang.
    pub rules: String,
    /// What `pmFromFile` and `ipMatchFromFile` read, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whose the lines of the rules are, in order; nothing if the cache doesn't say.
    pub sources: Vec<SourceLines>,
}

/// A RuleSource, as logs name it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SourceLines {
    /// Its name.
    pub name: String,
    /// How many of the lines are its.
    pub lines: usize,
}

#[derive(Deserialize)]
struct LatestJson<'a> {
    #[serde(borrow)]
    uuid: Cow<'a, str>,
    #[serde(borrow, default)]
    timestamp: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RulesJson<'a> {
    #[serde(borrow)]
    uuid: Cow<'a, str>,
    #[serde(borrow, default)]
    timestamp: Cow<'a, str>,
    #[serde(default)]
    sources: Vec<SourceLines>,
    #[serde(default)]
    rules: String,
    #[serde(borrow, default)]
    data_files: Option<BTreeMap<String, Cow<'a, str>>>,
}

/// The answer of `/latest`.
pub(super) fn latest(body: &[u8], gzip: bool) -> Result<Revision, BodyError> {
    let plain = plain(body, gzip, MAX_LATEST)?;
    let json: LatestJson<'_> = serde_json::from_slice(&plain).map_err(|_| BodyError::Json)?;
    Revision::new(&json.uuid, &json.timestamp).ok_or(BodyError::Uuid)
}

/// A RuleSet of at most `max_bytes` of rules and data files.
pub(super) fn rules(body: &[u8], gzip: bool, max_bytes: u64) -> Result<(Revision, Content), BodyError> {
    let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let plain = plain(body, gzip, max_body(max_bytes))?;
    let json: RulesJson<'_> = serde_json::from_slice(&plain).map_err(|_| BodyError::Json)?;
    let revision = Revision::new(&json.uuid, &json.timestamp).ok_or(BodyError::Uuid)?;
    if json.rules.trim().is_empty() {
        return Err(BodyError::Empty);
    }
    let mut files = BTreeMap::new();
    let mut size = json.rules.len();
    for (name, text) in json.data_files.unwrap_or_default() {
        let file = STANDARD.decode(text.as_bytes()).map_err(|_| BodyError::Base64)?;
        size = size.saturating_add(file.len());
        files.insert(name, file);
    }
    if size > max_bytes {
        return Err(BodyError::TooLarge);
    }
    Ok((
        revision,
        Content {
            rules: json.rules,
            files,
            sources: json.sources,
        },
    ))
}

/// The largest JSON that so many bytes can be: a third more for base64, and as much again for what JSON escapes.
fn max_body(max_bytes: usize) -> usize {
    max_bytes.saturating_add(max_bytes / 2).saturating_add(MAX_LATEST)
}

fn plain(body: &[u8], gzip: bool, max: usize) -> Result<Cow<'_, [u8]>, BodyError> {
    if !gzip {
        return if body.len() > max {
            Err(BodyError::TooLarge)
        } else {
            Ok(Cow::Borrowed(body))
        };
    }
    let mut plain = Vec::new();
    // One byte more than there may be tells a bomb from a body that just fits.
    let mut decoder = GzDecoder::new(body).take(u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1));
    decoder.read_to_end(&mut plain).map_err(|_| BodyError::Gzip)?;
    if plain.len() > max {
        Err(BodyError::TooLarge)
    } else {
        Ok(Cow::Owned(plain))
    }
}

/// A plain body in gzip, as it is kept in shared data.
pub(super) fn compressed(body: &[u8]) -> Result<Vec<u8>, BodyError> {
    let mut compressed = Vec::new();
    GzEncoder::new(body, Compression::fast())
        .read_to_end(&mut compressed)
        .map_err(|_| BodyError::Gzip)?;
    Ok(compressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1_000;

    fn read(json: &str) -> Result<(Revision, Content), BodyError> {
        rules(json.as_bytes(), false, LIMIT)
    }

    #[test]
    fn what_go_writes_is_read() {
        let json = r#"{"uuid":"u","timestamp":"1970-01-01T00:00:00.000000005Z","rules":"SecRule ARGS \"\u003ca\u003e\"\n","dataFiles":{"a.data":"AAH/"}}"#;
        let (revision, content) = read(json).expect("read");
        assert_eq!((&*revision.uuid, revision.timestamp), ("u", 5));
        assert_eq!(content.rules, "SecRule ARGS \"<a>\"\n");
        assert_eq!(content.files["a.data"], [0, 1, 0xff]);
        assert_eq!(content.sources, []);
        let named = r#"{"uuid":"u","sources":[{"name":"base","lines":1},{"name":"own","lines":2}],"rules":"a\nb\n"}"#;
        let (_, content_with_names) = read(named).expect("read");
        let names: Vec<_> = content_with_names
            .sources
            .iter()
            .map(|source| (&*source.name, source.lines))
            .collect();
        assert_eq!(names, [("base", 1), ("own", 2)]);
        assert!(
            read(r#"{"uuid":"u","rules":"x","dataFiles":null}"#)
                .expect("read")
                .1
                .files
                .is_empty()
        );
        let gzip = compressed(json.as_bytes()).expect("gzip");
        assert_eq!(rules(&gzip, true, LIMIT).expect("read").1, content);
        assert_eq!(
            latest(br#"{"uuid":"u","timestamp":"x","more":1}"#, false)
                .expect("read")
                .timestamp,
            0
        );
    }

    #[test]
    fn what_a_cache_should_not_send_is_refused() {
        for (json, error) in [
            ("", BodyError::Json),
            ("null", BodyError::Json),
            ("[]", BodyError::Json),
            (r#"{"uuid":1,"rules":"x"}"#, BodyError::Json),
            (r#"{"uuid":"u","rules":"x","dataFiles":[]}"#, BodyError::Json),
            (r#"{"uuid":"u","rules":"x"#, BodyError::Json),
            (
                r#"{"uuid":"u","rules":"x","sources":[{"name":"a","lines":-1}]}"#,
                BodyError::Json,
            ),
            (r#"{"uuid":"a\r\nb","rules":"x"}"#, BodyError::Uuid),
            (r#"{"uuid":"","rules":"x"}"#, BodyError::Uuid),
            (r#"{"uuid":"u"}"#, BodyError::Empty),
            (r#"{"uuid":"u","rules":" \n"}"#, BodyError::Empty),
            (r#"{"uuid":"u","rules":"x","dataFiles":{"a":"?"}}"#, BodyError::Base64),
        ] {
            assert_eq!(read(json), Err(error), "{json}");
        }
        let large = format!(r#"{{"uuid":"u","rules":"{}"}}"#, "x".repeat(1_001));
        assert_eq!(read(&large), Err(BodyError::TooLarge));
    }

    #[test]
    fn bombs_and_broken_streams_are_refused() {
        let bomb = compressed(&vec![b' '; 10 << 20]).expect("gzip");
        assert!(bomb.len() < 100_000);
        assert_eq!(rules(&bomb, true, LIMIT), Err(BodyError::TooLarge));
        assert_eq!(latest(&bomb, true), Err(BodyError::TooLarge));
        let good = compressed(br#"{"uuid":"u","rules":"x"}"#).expect("gzip");
        for length in 0..good.len() {
            assert_eq!(
                rules(good.get(..length).expect("part"), true, LIMIT),
                Err(BodyError::Gzip),
                "{length}"
            );
        }
        let mut broken = good;
        let at = broken.len() - 5;
        broken[at] ^= 1;
        assert_eq!(rules(&broken, true, LIMIT), Err(BodyError::Gzip));
    }
}
