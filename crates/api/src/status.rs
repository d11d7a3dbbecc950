//! Parts of a status that more than one kind has.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The revision of a RuleSet's content. Written by the operator and read back by it: after a restart it names the revision that
/// the caches hold, so that nothing is written and no gateway reloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = crate::schema::kubernetes)]
pub struct RevisionStatus {
    /// The revision's public name: a version-8 UUID made of the digest's first 128 bits.
    pub uuid: String,
    /// The SHA-256 of rules and data files, in hexadecimal digits.
    pub digest: String,
    /// Since when this content is current: RFC 3339 with nanoseconds, later than any earlier revision's.
    pub timestamp: String,
    /// The size of rules and data files in bytes.
    #[schemars(range(min = 0))]
    pub bytes: u64,
    /// How many rules there are.
    #[schemars(range(min = 0))]
    pub rules: u64,
}

/// The condition of this type, if the list has one.
#[must_use]
pub fn condition<'a>(conditions: &'a [Condition], condition_type: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == condition_type)
}
