//! The JSON that data planes parse, to the byte. Pure.
//!
//! An answer is `{"uuid":…,"timestamp":…,"sources":[{"name":…,"lines":…},…],"rules":…,"dataFiles":…}` and a line feed. Sources, which the
//! Go operator's cache doesn't have and its plugin doesn't look at, say whose the lines of the rules are; they are left out when that isn't
//! known. Data files are in base64 and left out when there are none. It is made of two parts, since RuleSets of equal content differ in the
//! first members only: their sources may have other names. Nothing is escaped that JSON lets stand: `<`, `>` and `&` are themselves, where Go
//! writes `\u003c`; every JSON parser reads both alike.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::sync::Arc;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use base64::prelude::Engine as _;
use bytes::Bytes;
use coraza_ruleset::{Content, DataFiles, Revision, RulesText, SourceLines};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

/// The whole answer of `/latest`.
pub(super) fn latest(revision: &Revision) -> Bytes {
    // Neither a UUID nor a timestamp has a character that JSON escapes.
    format!(
        "{{\"uuid\":\"{}\",\"timestamp\":\"{}\"}}\n",
        revision.uuid(),
        revision.timestamp
    )
    .into()
}

/// The members of the full answer that are this RuleSet's own, up to where the content's members follow.
pub(super) fn head(revision: &Revision, rules: &RulesText) -> Bytes {
    let mut head = format!(
        "{{\"uuid\":\"{}\",\"timestamp\":\"{}\",",
        revision.uuid(),
        revision.timestamp
    );
    let sources: Vec<_> = rules.lines().map(|source| SourceObject::from(&source)).collect();
    // Names can always be represented.
    if let (false, Ok(json)) = (sources.is_empty(), serde_json::to_string(&sources)) {
        head.push_str("\"sources\":");
        head.push_str(&json);
        head.push(',');
    }
    head.into()
}

/// The content as a JSON object of its own with a line feed, in a buffer of exactly its size.
pub(super) fn encode(content: &Content) -> Bytes {
    let object = ContentObject::from(content);
    let mut length = Length(0);
    // Neither sink fails, and texts and base64 can always be represented.
    let _ = serde_json::to_writer(&mut length, &object);
    let mut buffer = Vec::with_capacity(length.0.saturating_add(1));
    let _ = serde_json::to_writer(&mut buffer, &object);
    buffer.push(b'\n');
    buffer.into()
}

/// The content of an answer, or of an object that [`encode`] made.
pub(super) fn decode(object: &[u8]) -> Option<Content> {
    let DecodedObject {
        sources,
        rules,
        data_files,
    } = serde_json::from_slice(object).ok()?;
    let data_files: Option<DataFiles> = data_files
        .into_iter()
        .map(|(name, base64)| Some((Arc::from(name), STANDARD.decode(base64).ok()?.into())))
        .collect();
    Some(Content {
        rules: RulesText::cut(&rules, &sources.iter().map(SourceLines::from).collect::<Vec<_>>()),
        data_files: Arc::new(data_files?),
    })
}

#[derive(Serialize)]
struct ContentObject<'a> {
    #[serde(serialize_with = "as_text")]
    rules: &'a RulesText,
    #[serde(
        rename = "dataFiles",
        serialize_with = "as_base64",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    data_files: &'a DataFiles,
}

impl<'a> From<&'a Content> for ContentObject<'a> {
    fn from(Content { rules, data_files }: &'a Content) -> Self {
        Self { rules, data_files }
    }
}

#[derive(Serialize, Deserialize)]
struct SourceObject {
    name: Arc<str>,
    lines: usize,
}

impl From<&SourceLines> for SourceObject {
    fn from(SourceLines { name, lines }: &SourceLines) -> Self {
        let (name, lines) = (Arc::clone(name), *lines);
        Self { name, lines }
    }
}

impl From<&SourceObject> for SourceLines {
    fn from(SourceObject { name, lines }: &SourceObject) -> Self {
        let (name, lines) = (Arc::clone(name), *lines);
        Self { name, lines }
    }
}

#[derive(Deserialize)]
struct DecodedObject {
    #[serde(default)]
    sources: Vec<SourceObject>,
    rules: String,
    #[serde(rename = "dataFiles", default)]
    data_files: BTreeMap<String, String>,
}

/// Piece by piece into the sink: the joined text never exists beside its JSON.
fn as_text<S: Serializer>(rules: &&RulesText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(rules)
}

fn as_base64<S: Serializer>(files: &&DataFiles, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(files.len()))?;
    for (name, bytes) in *files {
        map.serialize_entry(&**name, &AsText(Base64Display::new(bytes, &STANDARD)))?;
    }
    map.end()
}

struct AsText<T>(T);

impl<T: Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A sink that only counts.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coraza_ruleset::Timestamp;
    use proptest::prelude::*;

    fn content(sources: &[&str], files: &[(&str, &[u8])]) -> Content {
        Content {
            rules: RulesText::new(sources.iter().map(|source| Arc::from(*source))),
            data_files: Arc::new(
                files
                    .iter()
                    .map(|(name, bytes)| (Arc::from(*name), Bytes::copy_from_slice(bytes)))
                    .collect(),
            ),
        }
    }

    fn revision(content: &Content) -> Revision {
        Revision {
            digest: content.digest(),
            timestamp: Timestamp::from_unix_nanos(1_777_629_600_123_456_789),
        }
    }

    #[test]
    fn latest_is_what_the_go_plugin_parses() {
        let revision = revision(&content(&["SecRuleEngine On"], &[]));
        let expected = format!(
            "{{\"uuid\":\"{}\",\"timestamp\":\"2026-05-01T10:00:00.123456789Z\"}}\n",
            revision.uuid()
        );
        assert_eq!(latest(&revision), expected);
    }

    fn named(sources: &[(&str, &str)]) -> RulesText {
        RulesText::named(sources.iter().map(|(name, text)| (Arc::from(*name), Arc::from(*text))))
    }

    #[test]
    fn sources_are_said_where_they_are_known() {
        let revision = revision(&Content::default());
        let start = format!(
            "{{\"uuid\":\"{}\",\"timestamp\":\"2026-05-01T10:00:00.123456789Z\",",
            revision.uuid()
        );
        assert_eq!(head(&revision, &RulesText::new([Arc::from("a")])), start);
        assert_eq!(
            head(&revision, &named(&[("base", "a\n"), ("own.rules", "")])),
            format!("{start}\"sources\":[{{\"name\":\"base\",\"lines\":2}},{{\"name\":\"own.rules\",\"lines\":1}}],")
        );
    }

    #[test]
    fn content_is_what_the_go_plugin_parses() {
        for (content, expected) in [
            (
                content(&["SecRuleEngine On"], &[]),
                "{\"rules\":\"SecRuleEngine On\"}\n",
            ),
            (content(&["a", "b"], &[]), "{\"rules\":\"a\\nb\"}\n"),
            (content(&[], &[]), "{\"rules\":\"\"}\n"),
            (
                content(
                    &["SecRule ARGS \"@pmFromFile bad.data\" \\\n\t<&>"],
                    &[("bad.data", b"evil\n"), ("a", &[0, 255])],
                ),
                "{\"rules\":\"SecRule ARGS \\\"@pmFromFile bad.data\\\" \\\\\\n\\t<&>\",\"dataFiles\":{\"a\":\"AP8=\",\"bad.data\":\"ZXZpbAo=\"}}\n",
            ),
            (
                content(&["\u{0}\u{1f}\u{7f}é\u{2028}"], &[]),
                "{\"rules\":\"\\u0000\\u001f\u{7f}é\u{2028}\"}\n",
            ),
        ] {
            let object = encode(&content);
            assert_eq!(object, expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(sources in prop::collection::vec(".{0,20}", 0..4),
                                      files in prop::collection::btree_map(".{0,8}", prop::collection::vec(any::<u8>(), 0..20), 0..3)) {
            let sources: Vec<_> = sources.iter().map(String::as_str).collect();
            let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
            let content = content(&sources, &files);
            prop_assert_eq!(decode(&encode(&content)), Some(content));
        }
    }
}
