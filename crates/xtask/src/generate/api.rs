//! The reference of the custom resources, from the schemas of their CRDs, which are generated from the types. No IO.

use anyhow::{Context, Result};
use serde_json::Value;

use super::document::row;

/// In the order in which people meet them.
pub(super) const KINDS: [&str; 4] = ["engines", "rulesets", "rulesources", "ruledata"];

/// The reference of these CRDs.
///
/// # Errors
/// If one isn't a CRD.
pub(super) fn reference(crds: &[String]) -> Result<String> {
    let mut text = String::new();
    for crd in crds {
        let crd: Value = serde_saphyr::from_str(crd).context("a CRD is no YAML")?;
        let at = |pointer: &str| crd.pointer(pointer).with_context(|| format!("a CRD has no {pointer}"));
        let (names, version) = (at("/spec/names")?, at("/spec/versions/0")?);
        let schema = version
            .pointer("/schema/openAPIV3Schema")
            .context("a version has no schema")?;
        let short: Vec<String> = list(names, "shortNames").map(|name| format!("`{name}`")).collect();
        text += &format!("\n## {}\n\n{}\n\n", said(names, "kind"), said(schema, "description"));
        text += &format!(
            "`apiVersion: {}/{}`, `kubectl get {}` ({}).\n\n",
            said(at("/spec")?, "group"),
            said(version, "name"),
            said(names, "plural"),
            short.join(", ")
        );
        text += "| field | type | what |\n|---|---|---|\n";
        for part in ["spec", "status"] {
            if let Some(schema_of) = schema.pointer(&format!("/properties/{part}")) {
                let required = list(schema, "required").any(|name| name == part);
                fields(&mut text, part, schema_of, required);
            }
        }
        let rules = rules(schema, "");
        if !rules.is_empty() {
            text += "\nThe API server refuses what breaks one of these:\n\n";
            text.extend(rules.iter().map(|(path, message)| format!("- `{path}`: {message}\n")));
        }
    }
    text.push('\n');
    Ok(text)
}

/// A row for a field and for each below it.
fn fields(text: &mut String, path: &str, schema: &Value, required: bool) {
    let description = said(schema, "description");
    *text += &row([format!("`{path}`"), kind(schema, required), description]);
    let (path, object) = match schema.get("items") {
        Some(items) => (format!("{path}[]"), items),
        None => (path.to_owned(), schema),
    };
    for (name, field) in object
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let required = list(object, "required").any(|known| known == name);
        fields(text, &format!("{path}.{name}"), field, required);
    }
}

/// What a field may be, in a few words.
fn kind(schema: &Value, required: bool) -> String {
    let mut words = vec![match schema.get("items") {
        Some(items) => format!("list of {}", said(items, "type")),
        None if schema.get("additionalProperties").is_some() => "map".to_owned(),
        None => said(schema, "type"),
    }];
    if required {
        words.push("required".to_owned());
    }
    let choices: Vec<String> = list(schema, "enum").map(|choice| format!("`{choice}`")).collect();
    if !choices.is_empty() {
        words.push(format!("one of {}", choices.join(", ")));
    }
    for (key, meaning) in [
        ("default", "default"),
        ("format", "format"),
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("minLength", "characters at least"),
        ("maxLength", "characters at most"),
        ("minItems", "items at least"),
        ("maxItems", "items at most"),
        ("minProperties", "keys at least"),
        ("maxProperties", "keys at most"),
        ("pattern", "pattern"),
    ] {
        if let Some(value) = schema.get(key) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // Schemas have limits of integers as floats.
            let value = value.strip_suffix(".0").unwrap_or(&value);
            words.push(format!("{meaning} `{value}`"));
        }
    }
    words.join("; ")
}

/// The sentences of a schema's CEL rules, by where they stand.
fn rules(schema: &Value, path: &str) -> Vec<(String, String)> {
    let own = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    let own = own.into_iter().flatten().map(|rule| {
        let place = if path.is_empty() { "." } else { path };
        (place.to_owned(), said(rule, "message"))
    });
    let mut all: Vec<_> = own.collect();
    for (name, field) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        all.extend(rules(field, &path));
    }
    if let Some(items) = schema.get("items") {
        all.extend(rules(items, &format!("{path}[]")));
    }
    all
}

fn said(value: &Value, key: &str) -> String {
    let text = value.get(key).and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    let items = value.get(key).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_limits_and_rules_are_said() {
        let crd = r#"
spec:
  group: example.com
  names: {kind: Cup, plural: cups, shortNames: [cp]}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        description: A cup.
        required: [spec]
        properties:
          spec:
            description: What it is.
            type: object
            required: [size]
            x-kubernetes-validations: [{rule: "true", message: must hold}]
            properties:
              size: {type: string, enum: [small, large], description: "How large | deep."}
              handles: {type: array, maxItems: 2, items: {type: object, properties: {side: {type: string}}}}
"#;
        let expected = "
## Cup

A cup.

`apiVersion: example.com/v1`, `kubectl get cups` (`cp`).

| field | type | what |
|---|---|---|
| `spec` | object; required | What it is. |
| `spec.size` | string; required; one of `small`, `large` | How large \\| deep. |
| `spec.handles` | list of object; items at most `2` |  |
| `spec.handles[].side` | string |  |

The API server refuses what breaks one of these:

- `spec`: must hold

";
        // Objects of JSON have no order of their own here.
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&reference(&[crd.to_owned()]).unwrap()), sorted(expected));
    }
}
