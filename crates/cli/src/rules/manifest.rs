//! Manifests: YAML or JSON documents to the objects that make RuleSets, and what is wrong with them by themselves. No IO.

mod document;

use std::collections::BTreeMap;
use std::sync::Arc;

use coraza_api::metadata::annotation;
use coraza_api::{Engine, GROUP, VERSION};
use serde::Deserialize;
use serde_saphyr::Spanned;

use self::document::{documents, first_line, parse};
use super::DataTexts;
use super::finding::Finding;
use super::origin::Origin;

/// An object, and where it is named.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    /// `RuleSource shop/base-rules`.
    pub(super) title: String,
    pub(super) file: Arc<str>,
    pub(super) line: u32,
    annotations: BTreeMap<String, String>,
    pub(super) kind: Kind,
}

/// What an object is, as far as it is about rules.
#[derive(Debug)]
pub(super) enum Kind {
    Source { text: Arc<str>, origin: Origin },
    Data(DataTexts),
    Set { sources: Vec<String>, data: Vec<String> },
    Engine { ruleset: String },
}

impl Object {
    fn is_annotated(&self, name: &str, value: &str) -> bool {
        self.annotations.get(name).is_some_and(|own| own == value)
    }

    /// Whether a source is judged on its own.
    pub(super) fn is_validated(&self) -> bool {
        !self.is_annotated(annotation::RULE_VALIDATION, annotation::RULE_VALIDATION_OFF)
    }

    /// Whether a RuleSet is served in spite of rules that the data plane can't run.
    pub(super) fn allows_unsupported(&self) -> bool {
        self.is_annotated(
            annotation::SKIP_UNSUPPORTED_RULES_CHECK,
            annotation::SKIP_UNSUPPORTED_RULES_CHECK_ON,
        )
    }
}

/// The code of what is wrong with a manifest.
const CODE: &str = "invalid-manifest";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Manifest<S> {
    spec: S,
}

#[derive(Deserialize)]
struct SourceSpec {
    rules: Spanned<String>,
}

#[derive(Deserialize)]
struct DataSpec {
    files: DataTexts,
}

#[derive(Deserialize)]
struct SetSpec {
    sources: Vec<Reference>,
    data: Option<Vec<Reference>>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
}

/// A ConfigMap with rules, as Coraza's users keep them elsewhere.
#[derive(Deserialize)]
struct ConfigMap {
    data: Option<ConfigMapData>,
}

#[derive(Deserialize)]
struct ConfigMapData {
    rules: Option<Spanned<String>>,
}

#[derive(Deserialize)]
struct List {
    items: Vec<serde_json::Value>,
}

/// The objects of a file. `named` is whether the file itself was named: then all of it is meant to be manifests.
pub(super) fn read(file: &str, text: &str, named: bool) -> (Vec<Object>, Vec<Finding>) {
    let mut read = Reader {
        file: file.into(),
        objects: Vec::new(),
        findings: Vec::new(),
    };
    // Charts and tests are YAML, too.
    if !named && !text.contains(GROUP) {
        return (read.objects, read.findings);
    }
    for (line, document) in documents(text) {
        read.document(line, document);
    }
    // The templates of a chart aren't manifests yet.
    if !named && text.contains("{{") && !read.findings.is_empty() {
        return (Vec::new(), Vec::new());
    }
    (read.objects, read.findings)
}

struct Reader {
    file: Arc<str>,
    objects: Vec<Object>,
    findings: Vec<Finding>,
}

impl Reader {
    /// Reads a document, before which so many lines stand.
    fn document(&mut self, before: u32, text: &str) {
        let head: Option<Head> = match parse(text) {
            Ok(head) => head,
            Err(error) => return self.invalid(before, &error),
        };
        let Some(head) = head else { return };
        let result = match self.object(before, text, head) {
            Ok(object) => Ok(object.map(|object| self.objects.push(object))),
            Err(error) => Err(error),
        };
        match result {
            Ok(_) => {}
            Err(Problem::Yaml(error)) => self.invalid(before, &error),
            Err(Problem::Said(finding)) => self.findings.push(*finding),
        }
    }

    fn object(&mut self, before: u32, text: &str, head: Head) -> Result<Option<Object>, Problem> {
        let version = head.api_version.unwrap_or_default();
        let kind = head.kind.unwrap_or_default();
        let line = before.saturating_add(first_line(text));
        if version == "v1" && kind == "List" {
            // Its items' lines don't matter to whom no person wrote them for.
            let list: List = parse(text)?;
            for item in list.items {
                let item = item.to_string();
                self.document(line.saturating_sub(1), &item);
            }
            return Ok(None);
        }
        let is_ours = version.split('/').next() == Some(GROUP);
        if !is_ours && (version.as_str(), kind.as_str()) != ("v1", "ConfigMap") {
            return Ok(None);
        }
        let Some(name) = head.metadata.name.filter(|name| !name.is_empty()) else {
            return Err(self.problem(line, format!("this {kind} has no metadata.name")));
        };
        let namespace = head.metadata.namespace.filter(|namespace| !namespace.is_empty());
        let title = match &namespace {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        };
        if is_ours && version != format!("{GROUP}/{VERSION}") {
            let finding = Finding::error(
                CODE,
                &self.file,
                Some(line),
                format!("{title} has apiVersion {version}"),
            );
            return Err(finding.hint(format!("the only version is {GROUP}/{VERSION}")).into());
        }
        let Some(what) = self.kind(before, text, &kind, &title, line)? else {
            return Ok(None);
        };
        Ok(Some(Object {
            namespace,
            name,
            title,
            file: Arc::clone(&self.file),
            line,
            annotations: head.metadata.annotations.unwrap_or_default(),
            kind: what,
        }))
    }

    fn kind(&self, before: u32, text: &str, kind: &str, title: &str, line: u32) -> Result<Option<Kind>, Problem> {
        Ok(Some(match kind {
            "RuleSource" => {
                let source: Manifest<SourceSpec> = parse(text)?;
                self.source(before, text, title, source.spec.rules)?
            }
            "ConfigMap" => {
                let map: ConfigMap = parse(text)?;
                match map.data.and_then(|data| data.rules) {
                    Some(rules) => self.source(before, text, title, rules)?,
                    None => return Ok(None),
                }
            }
            "RuleData" => {
                let data: Manifest<DataSpec> = parse(text)?;
                self.data(title, line, data.spec.files)?
            }
            "RuleSet" => {
                let set: Manifest<SetSpec> = parse(text)?;
                if set.spec.sources.is_empty() {
                    return Err(self.problem(line, format!("{title} has no spec.sources")));
                }
                let names = |references: Vec<Reference>| references.into_iter().map(|reference| reference.name);
                Kind::Set {
                    sources: names(set.spec.sources).collect(),
                    data: names(set.spec.data.unwrap_or_default()).collect(),
                }
            }
            "Engine" => {
                let engine: Engine = parse(text)?;
                Kind::Engine {
                    ruleset: engine.spec.rule_set.name,
                }
            }
            _ => return Err(self.problem(line, format!("{GROUP} has no kind {kind}"))),
        }))
    }

    fn source(&self, before: u32, text: &str, title: &str, rules: Spanned<String>) -> Result<Kind, Problem> {
        let at = u32::try_from(rules.referenced.line()).unwrap_or(1);
        if rules.value.is_empty() {
            return Err(self.problem(before.saturating_add(at), format!("the rules of {title} are empty")));
        }
        let lines = "\n".repeat(usize::try_from(before).unwrap_or_default());
        let origin = Origin::field(
            &self.file,
            title,
            &format!("{lines}{text}"),
            before.saturating_add(at),
            &rules.value,
        );
        let text = rules.value.into();
        Ok(Kind::Source { text, origin })
    }

    /// What the schema of RuleData says of its files.
    fn data(&self, title: &str, line: u32, files: DataTexts) -> Result<Kind, Problem> {
        if files.is_empty() {
            return Err(self.problem(line, format!("{title} has no spec.files")));
        }
        let is_plain = |name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !name.is_empty() && name.len() <= 253 && name.bytes().all(plain)
        };
        match files.keys().find(|name| !is_plain(name)) {
            Some(name) => {
                let message = format!("{title} has a file {name:?}, which is no name of a file");
                let hint = "letters, digits, '-', '_' and '.' make one, at most 253 of them";
                Err(Finding::error(CODE, &self.file, Some(line), message).hint(hint).into())
            }
            None => Ok(Kind::Data(files)),
        }
    }

    fn problem(&self, line: u32, message: String) -> Problem {
        Finding::error(CODE, &self.file, Some(line), message).into()
    }

    fn invalid(&mut self, before: u32, error: &serde_saphyr::Error) {
        let line = error
            .location()
            .and_then(|location| u32::try_from(location.line()).ok());
        let line = before.saturating_add(line.unwrap_or(1));
        // The line is told once, and as the file has it.
        let message = error.without_snippet().to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let message = message.split("\n").next().unwrap_or_default();
        self.findings.push(Finding::error(
            CODE,
            &self.file,
            Some(line),
            format!("failed to read the manifest: {message}"),
        ));
    }
}

/// Why a document is no object.
enum Problem {
    Yaml(Box<serde_saphyr::Error>),
    Said(Box<Finding>),
}

impl From<serde_saphyr::Error> for Problem {
    fn from(error: serde_saphyr::Error) -> Self {
        Self::Yaml(Box::new(error))
    }
}

impl From<Finding> for Problem {
    fn from(finding: Finding) -> Self {
        Self::Said(Box::new(finding))
    }
}
