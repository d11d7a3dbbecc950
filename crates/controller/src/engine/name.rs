//! The names of the objects that we make. Pure: the same Engine has the same names on every replica and after every restart.

use sha2::{Digest as _, Sha256};

use crate::engine::child::PREFIX;
use crate::watch::object::ObjectKey;

/// The longest name of an object.
const MAX_NAME: usize = 253;
/// The longest value of a label.
const MAX_LABEL: usize = 63;
/// How many digits of a hash keep two shortened names apart.
const HASH_DIGITS: usize = 12;

/// The WasmPlugin of an Engine.
#[must_use]
pub fn plugin(engine: &ObjectKey) -> ObjectKey {
    within(engine, &format!("{PREFIX}{}", engine.name), "")
}

/// The Telemetry of an Engine.
#[must_use]
pub fn telemetry(engine: &ObjectKey) -> ObjectKey {
    within(engine, &format!("{PREFIX}{}", engine.name), "-telemetry")
}

/// The NetworkPolicy of the Engine with this UID, in the operator's namespace.
#[must_use]
pub fn policy(namespace: &str, uid: &str) -> ObjectKey {
    ObjectKey::new(namespace, format!("coraza-cache-{uid}"))
}

/// An Engine's name as the value of a label.
#[must_use]
pub fn label(name: &str) -> String {
    shortened(name, "", MAX_LABEL)
}

fn within(engine: &ObjectKey, name: &str, suffix: &str) -> ObjectKey {
    ObjectKey::new(engine.namespace.clone(), shortened(name, suffix, MAX_NAME))
}

/// The name and the suffix, if they fit; else a part of the name and a hash of the whole.
fn shortened(name: &str, suffix: &str, limit: usize) -> String {
    if name.len().saturating_add(suffix.len()) <= limit {
        return format!("{name}{suffix}");
    }
    let hash: String = Sha256::digest(name)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .take(HASH_DIGITS / 2)
        .collect();
    let room = limit.saturating_sub(suffix.len() + HASH_DIGITS + 1);
    let kept = name.get(..name.floor_char_boundary(room)).unwrap_or(name);
    format!("{}-{hash}{suffix}", kept.trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_go_operator_s() {
        let engine = ObjectKey::new("shop", "waf");
        assert_eq!(plugin(&engine).to_string(), "shop/coraza-engine-waf");
        assert_eq!(telemetry(&engine).to_string(), "shop/coraza-engine-waf-telemetry");
        assert_eq!(
            policy("coraza-system", "u-1").to_string(),
            "coraza-system/coraza-cache-u-1"
        );
        assert_eq!(label("waf"), "waf");
    }

    #[test]
    fn names_that_are_too_long_are_shortened_and_stay_apart() {
        let long = |end: &str| ObjectKey::new("shop", format!("{}{end}", "a.".repeat(126)));
        let (one, other) = (long("b"), long("c"));
        for name in [plugin, telemetry] {
            let (one, other) = (name(&one).name, name(&other).name);
            assert!(one.len() <= MAX_NAME && one != other, "{one}");
            assert!(
                coraza_ruleset::RuleSetKey::new("shop", &one).is_ok(),
                "{one} is no name"
            );
        }
        assert!(telemetry(&one).name.ends_with("-telemetry"));
        assert!(label(&one.name).len() <= MAX_LABEL && label(&one.name) != label(&other.name));
    }
}
