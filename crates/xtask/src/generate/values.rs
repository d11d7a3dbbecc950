//! The table of the chart's values, from `values.yaml` and its comments. No IO.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::document::row;

/// The longest default that is shown: the table is for looking things up, `values.yaml` for reading.
const SHOWN: usize = 60;

/// A key of `values.yaml`, with the comment above it and the keys below it.
#[derive(Debug)]
struct Key {
    path: String,
    indent: usize,
    comment: String,
}

/// The table of these values.
///
/// # Errors
/// If a value has no comment.
pub(super) fn table(values: &str) -> Result<String> {
    let defaults: Value = serde_saphyr::from_str(values).context("values.yaml is no YAML")?;
    let keys = keys(values);
    let mut table = String::from("| value | default | what |\n|---|---|---|\n");
    for (index, key) in keys.iter().enumerate() {
        let below = || {
            keys.iter()
                .skip(index + 1)
                .take_while(|other| other.indent > key.indent)
        };
        if below().any(|other| !other.comment.is_empty()) {
            continue;
        }
        if key.comment.is_empty() {
            // A part of a value that is described as a whole.
            if described_above(&keys, index) {
                continue;
            }
            bail!("{} has no comment in values.yaml that says what it is", key.path);
        }
        let pointer = format!("/{}", key.path.replace('.', "/"));
        let default = defaults
            .pointer(&pointer)
            .with_context(|| format!("{} is a key and has no value", key.path))?;
        let default = match default.to_string() {
            short if short.chars().count() <= SHOWN => format!("`{short}`"),
            _ => "see `values.yaml`".to_owned(),
        };
        table += &row([format!("`{}`", key.path), default, key.comment.clone()]);
    }
    Ok(table)
}

/// Whether a key without a comment is below a key with one, and no sibling has one.
fn described_above(keys: &[Key], index: usize) -> bool {
    let Some(key) = keys.get(index) else {
        return false;
    };
    let parent = keys.iter().take(index).rposition(|other| other.indent < key.indent);
    let Some((position, parent)) = parent.and_then(|position| Some((position, keys.get(position)?))) else {
        return false;
    };
    let siblings = keys
        .iter()
        .skip(position + 1)
        .take_while(|other| other.indent > parent.indent);
    siblings.clone().all(|other| other.comment.is_empty())
        && (!parent.comment.is_empty() || described_above(keys, position))
}

/// The keys of block mappings, in their order. What is inside lists and braces is a value's own.
fn keys(values: &str) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    // Where the innermost list begins, if a line may be part of one.
    let mut list: Option<usize> = None;
    for line in values.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if list.is_some_and(|list| indent > list || (indent == list && text.starts_with("- "))) {
            continue;
        }
        list = None;
        if text.starts_with("- ") {
            list = Some(indent);
        } else if let Some(said) = text.strip_prefix('#') {
            comment.push(said.trim());
        } else if let Some((name, _)) = text.split_once(':') {
            let parent = keys.iter().rev().find(|key| key.indent < indent);
            let path = match parent {
                Some(parent) => format!("{}.{name}", parent.path),
                None => name.to_owned(),
            };
            keys.push(Key {
                path,
                indent,
                comment: comment.join(" "),
            });
            comment.clear();
        } else {
            // A comment that an empty line follows is about no key.
            comment.clear();
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_row_with_its_default_and_its_comment() {
        let values = "\
# About the file.

# What it is called.
name: \"\"
# The parts.
parts:
  first:
    # One | two,
    # or three.
    size: 1
  # Where to.
  list:
    - {a: b}
    - c: d
      # no key
      e: f
  # What it may use.
  resources:
    requests: {cpu: 1}
    limits: {cpu: 2}
";
        let expected = "\
| value | default | what |
|---|---|---|
| `name` | `\"\"` | What it is called. |
| `parts.first.size` | `1` | One \\| two, or three. |
| `parts.list` | `[{\"a\":\"b\"},{\"c\":\"d\",\"e\":\"f\"}]` | Where to. |
| `parts.resources` | `{\"limits\":{\"cpu\":2},\"requests\":{\"cpu\":1}}` | What it may use. |
";
        assert_eq!(table(values).unwrap(), expected);
    }

    #[test]
    fn a_value_without_a_comment_is_refused() {
        for (values, path) in [
            ("a: 1\n", "a"),
            ("a:\n  # One.\n  b: 1\n  c: 2\n", "a.c"),
            ("a:\n  b: 1\n", "a"),
        ] {
            let error = table(values).unwrap_err().to_string();
            assert!(error.starts_with(path), "{error}");
        }
    }
}
