//! `RuleSetKey`: which RuleSet, as `namespace/name`. It is the cache's key, the path of its HTTP interface and the
//! audience of the tokens that may read it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name of a namespace (RFC 1123 label).
const MAX_NAMESPACE: usize = 63;
/// The longest name of a custom resource (RFC 1123 subdomain).
const MAX_NAME: usize = 253;
/// What the audience of a token for one RuleSet begins with; the Go operator's form.
const AUDIENCE_PREFIX: &str = "coraza-cache:";

/// The namespace and name of a RuleSet, both known to be names that Kubernetes accepts: safe in a path, a log line, a metric
/// label. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleSetKey {
    namespace: Arc<str>,
    name: Arc<str>,
}

impl RuleSetKey {
    /// A key of two names that the Kubernetes API would accept for a namespace and a custom resource.
    ///
    /// # Errors
    /// [`InvalidKey`] if either name is empty, too long or has a character that such names can't have.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidKey> {
        if !is_label(namespace.as_bytes()) {
            return Err(InvalidKey::Namespace);
        }
        if !is_subdomain(name.as_bytes()) {
            return Err(InvalidKey::Name);
        }
        Ok(Self {
            namespace: namespace.into(),
            name: name.into(),
        })
    }

    /// The namespace that the RuleSet is in.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The RuleSet's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The audience that a token must be issued for to read this RuleSet: `coraza-cache:<namespace>/<name>`.
    #[must_use]
    pub fn audience(&self) -> String {
        format!("{AUDIENCE_PREFIX}{self}")
    }
}

impl fmt::Display for RuleSetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for RuleSetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleSetKey({self})")
    }
}

impl FromStr for RuleSetKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let (namespace, name) = text.split_once('/').ok_or(InvalidKey::Form)?;
        Self::new(namespace, name)
    }
}

/// Why a text is no RuleSet key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// There is no slash between two names.
    #[error("a RuleSet key has the form namespace/name")]
    Form,
    /// The namespace isn't an RFC 1123 label.
    #[error("the namespace must be at most {MAX_NAMESPACE} lower-case letters, digits and '-'")]
    Namespace,
    /// The name isn't an RFC 1123 subdomain.
    #[error("the name must be at most {MAX_NAME} lower-case letters, digits, '-' and '.'")]
    Name,
}

/// RFC 1123 label as Kubernetes checks it: letters, digits and `-`, a letter or digit at both ends.
fn is_label(text: &[u8]) -> bool {
    text.len() <= MAX_NAMESPACE && is_dashed(text)
}

/// RFC 1123 subdomain as Kubernetes checks it: dot-separated runs, each with a letter or digit at both ends.
fn is_subdomain(text: &[u8]) -> bool {
    text.len() <= MAX_NAME && text.split(|byte| *byte == b'.').all(is_dashed)
}

fn is_dashed(text: &[u8]) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.first().is_some_and(alphanumeric)
        && text.last().is_some_and(alphanumeric)
        && text.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_accepts_make_a_key() {
        let longest = ("n".repeat(63), "r".repeat(253));
        for (namespace, name) in [
            ("default", "crs"),
            ("a", "latest"),
            ("team-1", "a.b-c.d"),
            (&*longest.0, &*longest.1),
        ] {
            let key = RuleSetKey::new(namespace, name).expect("accepted");
            assert_eq!(key.to_string(), format!("{namespace}/{name}"));
            assert_eq!(key.to_string().parse(), Ok(key.clone()));
            assert_eq!(key.audience(), format!("coraza-cache:{namespace}/{name}"));
        }
    }

    #[test]
    fn other_names_are_refused() {
        let long = ("n".repeat(64), "r".repeat(254));
        for (namespace, name, error) in [
            ("", "crs", InvalidKey::Namespace),
            ("UPPER", "crs", InvalidKey::Namespace),
            ("a.b", "crs", InvalidKey::Namespace),
            ("-a", "crs", InvalidKey::Namespace),
            ("..", "crs", InvalidKey::Namespace),
            (&*long.0, "crs", InvalidKey::Namespace),
            ("default", "", InvalidKey::Name),
            ("default", "a..b", InvalidKey::Name),
            ("default", "a/b", InvalidKey::Name),
            ("default", "a\0", InvalidKey::Name),
            ("default", "é", InvalidKey::Name),
            ("default", &*long.1, InvalidKey::Name),
        ] {
            assert_eq!(RuleSetKey::new(namespace, name), Err(error), "{namespace:?} {name:?}");
        }
        assert_eq!("default".parse::<RuleSetKey>(), Err(InvalidKey::Form));
    }
}
