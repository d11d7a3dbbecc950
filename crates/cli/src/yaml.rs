//! Objects as YAML documents that people can read and diff: rule texts as literal blocks, fields in the usual order. No IO.

use std::fmt::Write as _;

use coraza_api::{RuleData, RuleSet, RuleSource};
use kube_core::{ObjectMeta, Resource};

/// An object to write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Object {
    /// Rules.
    Source(RuleSource),
    /// Data files.
    Data(RuleData),
    /// What belongs together.
    Set(RuleSet),
}

/// All objects, separated by `---`, with an empty line at the end.
pub(crate) fn documents(objects: &[Object]) -> String {
    let mut out = objects.iter().map(document).collect::<Vec<_>>().join("---\n");
    out.push('\n');
    out
}

fn document(object: &Object) -> String {
    let mut out = String::new();
    match object {
        Object::Source(source) => {
            head(&mut out, source);
            out.push_str("  rules: ");
            text(&mut out, &source.spec.rules, 4);
        }
        Object::Data(data) => {
            head(&mut out, data);
            out.push_str("  files:\n");
            for (name, contents) in &data.spec.files {
                line(&mut out, format_args!("    {}: ", scalar(name)), "");
                text(&mut out, contents, 6);
            }
        }
        Object::Set(set) => {
            head(&mut out, set);
            names(
                &mut out,
                "sources",
                set.spec.sources.iter().map(|source| source.name.as_str()),
            );
            if let Some(data) = &set.spec.data {
                names(&mut out, "data", data.iter().map(|data| data.name.as_str()));
            }
        }
    }
    out
}

fn head<K: Resource<DynamicType = ()>>(out: &mut String, object: &K) {
    let ObjectMeta { namespace, name, .. } = object.meta();
    line(out, format_args!("apiVersion: {}", K::api_version(&())), "\n");
    line(out, format_args!("kind: {}", K::kind(&())), "\n");
    out.push_str("metadata:\n");
    for (field, value) in [("namespace", namespace), ("name", name)] {
        if let Some(value) = value {
            line(out, format_args!("  {field}: {}", scalar(value)), "\n");
        }
    }
    out.push_str("spec:\n");
}

fn names<'n>(out: &mut String, field: &str, names: impl Iterator<Item = &'n str>) {
    line(out, format_args!("  {field}:"), "\n");
    for name in names {
        line(out, format_args!("    - name: {}", scalar(name)), "\n");
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>, end: &str) {
    // Writing to a String can't fail.
    let _ = out.write_fmt(text);
    out.push_str(end);
}

/// A name, quoted unless every YAML parser reads it as a string.
fn scalar(name: &str) -> String {
    let word = name.starts_with(|first: char| first.is_ascii_alphabetic());
    let plain = word
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    let meaning = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let other_type = meaning.iter().any(|word| name.eq_ignore_ascii_case(word));
    if plain && !other_type {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A text after its key, as a literal block indented by `indent`, or quoted if a block can't hold it byte for byte.
fn text(out: &mut String, text: &str, indent: usize) {
    if text.is_empty() || text.chars().any(|character| character != '\n' && is_special(character)) {
        out.push_str(&quoted(text));
        out.push('\n');
        return;
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    let chomping = match text.strip_suffix('\n') {
        None => "-",
        Some(body) if body.is_empty() || body.ends_with('\n') => "+",
        Some(_) => "",
    };
    // The indentation is read off the first line that has text, unless blanks before that make it unclear.
    let first = text.split('\n').find(|line| !line.is_empty()).unwrap_or(" ");
    let indentation = if first.starts_with(' ') { "2" } else { "" };
    line(out, format_args!("|{indentation}{chomping}"), "\n");
    for body_line in body.split('\n') {
        if !body_line.is_empty() {
            line(out, format_args!("{:indent$}{body_line}", ""), "");
        }
        out.push('\n');
    }
}

/// Whether some YAML parser would refuse the character in a block, or read it as a line end.
fn is_special(character: char) -> bool {
    (character.is_control() && character != '\t')
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// A double-quoted scalar, on one line.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            special if is_special(special) => line(&mut out, format_args!("\\u{:04x}", u32::from(special)), ""),
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use coraza_api::{RuleDataSpec, RuleSourceSpec};
    use proptest::prelude::*;

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(yaml: &str) -> T {
        serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
    }

    #[test]
    fn rules_are_a_literal_block() {
        let mut source = RuleSource::new(
            "a",
            RuleSourceSpec {
                rules: "SecRuleEngine On\n\n  # \"x\"\n".into(),
            },
        );
        source.metadata.namespace = Some("shop".into());
        insta::assert_snapshot!(documents(&[Object::Source(source.clone()), Object::Source(source)]));
    }

    /// Names and texts that YAML could read as something else.
    fn tricky() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ \n\ta#:|>\"'\\\\-]{0,12}",
            "\\PC{0,12}",
            any::<String>(),
            Just("\u{feff}\u{85}\u{2028}\r\n\u{0}".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn every_text_reads_back_as_it_was(rules in tricky(), file in tricky()) {
            let source = RuleSource::new("1e3", RuleSourceSpec { rules: Arc::from(rules.as_str()) });
            prop_assert_eq!(&read::<RuleSource>(&document(&Object::Source(source.clone()))), &source);
            let files = BTreeMap::from([(Arc::from("null"), Arc::from(file.as_str())), (Arc::from("-.data"), Arc::from("x"))]);
            let data = RuleData::new("true", RuleDataSpec { files });
            prop_assert_eq!(&read::<RuleData>(&document(&Object::Data(data.clone()))), &data);
        }
    }
}
