//! Method and path → `Route`. Pure.

use coraza_ruleset::{InvalidKey, RuleSetKey};
use http::Method;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Of which RuleSet.
    pub key: RuleSetKey,
    /// Which answer.
    pub resource: Resource,
}

/// The two answers that a RuleSet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Which revision is the latest: `/rules/{namespace}/{name}/latest`.
    Latest,
    /// The revision itself: `/rules/{namespace}/{name}`.
    Rules,
}

/// Why a request asks for nothing that there could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoute {
    /// The path isn't below `/rules`.
    #[error("there is only /rules/<namespace>/<name> and /rules/<namespace>/<name>/latest")]
    Unknown,
    /// The method is neither GET nor HEAD.
    #[error("only GET and HEAD are allowed")]
    Method,
    /// The path has another form.
    #[error("the path must be /rules/<namespace>/<name> or /rules/<namespace>/<name>/latest")]
    Path,
    /// A segment can't be a name.
    #[error(transparent)]
    Key(InvalidKey),
}

/// The route of a request. Segments are taken as they are written: nothing is decoded or normalised, so `..`, `//` and `%2f`
/// are just names that no object can have.
///
/// # Errors
/// [`InvalidRoute`].
pub fn route(method: &Method, path: &str) -> Result<Route, InvalidRoute> {
    let rest = path.strip_prefix("/rules").ok_or(InvalidRoute::Unknown)?;
    let segments = match rest.strip_prefix('/') {
        Some(segments) => segments,
        None if rest.is_empty() => "",
        None => return Err(InvalidRoute::Unknown),
    };
    if method != Method::GET && method != Method::HEAD {
        return Err(InvalidRoute::Method);
    }
    let mut segments = segments.split('/');
    let (Some(namespace), Some(name)) = (segments.next(), segments.next()) else {
        return Err(InvalidRoute::Path);
    };
    let resource = match (segments.next(), segments.next()) {
        (None, _) => Resource::Rules,
        (Some("latest"), None) => Resource::Latest,
        _ => return Err(InvalidRoute::Path),
    };
    let key = RuleSetKey::new(namespace, name).map_err(InvalidRoute::Key)?;
    Ok(Route { key, resource })
}

impl Resource {
    /// What a path asks for as far as metrics go: everything that doesn't end in `/latest` is `rules`, as in the Go operator.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        if path.starts_with("/rules/") && path.ends_with("/latest") && path.matches('/').count() > 3 {
            Self::Latest
        } else {
            Self::Rules
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_path_and_method() {
        let long = format!("/rules/{}/{}", "n".repeat(63), "r".repeat(253));
        let too_long = format!("/rules/team/{}", "r".repeat(60_000));
        let found = |name: &str, resource| {
            let key: RuleSetKey = name.parse().expect("key");
            Ok(Route { key, resource })
        };
        for (path, expected) in [
            ("/rules/team/crs", found("team/crs", Resource::Rules)),
            ("/rules/team/crs/latest", found("team/crs", Resource::Latest)),
            ("/rules/team/latest", found("team/latest", Resource::Rules)),
            ("/rules/team/latest/latest", found("team/latest", Resource::Latest)),
            (&long, found(long.trim_start_matches("/rules/"), Resource::Rules)),
            (&too_long, Err(InvalidRoute::Key(InvalidKey::Name))),
            ("/rules", Err(InvalidRoute::Path)),
            ("/rules/", Err(InvalidRoute::Path)),
            ("/rules//", Err(InvalidRoute::Key(InvalidKey::Namespace))),
            ("/rules/team", Err(InvalidRoute::Path)),
            ("/rules/team/", Err(InvalidRoute::Key(InvalidKey::Name))),
            ("/rules/team/crs/", Err(InvalidRoute::Path)),
            ("/rules/team/crs/data", Err(InvalidRoute::Path)),
            ("/rules/team/crs/latest/", Err(InvalidRoute::Path)),
            ("/rules/team/crs/latest/latest", Err(InvalidRoute::Path)),
            ("/rules//team/crs", Err(InvalidRoute::Path)),
            ("/rules/team//latest", Err(InvalidRoute::Key(InvalidKey::Name))),
            ("/rules/../crs", Err(InvalidRoute::Key(InvalidKey::Namespace))),
            ("/rules/team/..", Err(InvalidRoute::Key(InvalidKey::Name))),
            ("/rules/team/../team/crs", Err(InvalidRoute::Path)),
            ("/rules/team%2fcrs", Err(InvalidRoute::Path)),
            (
                "/rules/team%2Fcrs/latest",
                Err(InvalidRoute::Key(InvalidKey::Namespace)),
            ),
            ("/rules/team/%63rs", Err(InvalidRoute::Key(InvalidKey::Name))),
            ("/rules/team/CRS", Err(InvalidRoute::Key(InvalidKey::Name))),
            ("/rulesets/team/crs", Err(InvalidRoute::Unknown)),
            ("//rules/team/crs", Err(InvalidRoute::Unknown)),
            ("/../rules/team/crs", Err(InvalidRoute::Unknown)),
            ("/", Err(InvalidRoute::Unknown)),
            ("*", Err(InvalidRoute::Unknown)),
            ("", Err(InvalidRoute::Unknown)),
        ] {
            assert_eq!(route(&Method::GET, path), expected, "{path}");
            assert_eq!(route(&Method::HEAD, path), expected, "{path}");
            for method in [
                Method::POST,
                Method::OPTIONS,
                Method::CONNECT,
                Method::from_bytes(b"BREW").expect("method"),
            ] {
                let expected = if path.starts_with("/rules/") || path == "/rules" {
                    InvalidRoute::Method
                } else {
                    InvalidRoute::Unknown
                };
                assert_eq!(route(&method, path), Err(expected), "{method} {path}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_routed_is_what_was_written(path in "/(rules|rule)?(/[a-c.%2f/]{0,6}){0,4}(/latest)?") {
            if let Ok(Route { key, resource }) = route(&Method::GET, &path) {
                let suffix = if resource == Resource::Latest { "/latest" } else { "" };
                prop_assert_eq!(Resource::of_path(&path), resource);
                prop_assert_eq!(format!("/rules/{key}{suffix}"), path);
            }
        }
    }
}
