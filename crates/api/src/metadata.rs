//! Annotations, labels, finalizers and the field manager: what we read and write in the metadata of objects.

/// The field manager of everything that we write, and the value of the managed-by label.
pub const FIELD_MANAGER: &str = "coraza-kubernetes-operator";

/// Annotations that a user sets on our objects.
pub mod annotation {
    /// On a RuleSource, with the exact value [`RULE_VALIDATION_OFF`]: don't judge the source alone.
    pub const RULE_VALIDATION: &str = "waf.k8s.coraza.io/rule-validation";
    /// The only value of [`RULE_VALIDATION`] that acts.
    pub const RULE_VALIDATION_OFF: &str = "false";
    /// On a RuleSet, with the exact value [`SKIP_UNSUPPORTED_RULES_CHECK_ON`]: serve it in spite of rules that the engine can't run.
    pub const SKIP_UNSUPPORTED_RULES_CHECK: &str = "waf.k8s.coraza.io/skip-unsupported-rules-check";
    /// The only value of [`SKIP_UNSUPPORTED_RULES_CHECK`] that acts.
    pub const SKIP_UNSUPPORTED_RULES_CHECK_ON: &str = "true";
}

/// Labels that we set or select by.
pub mod label {
    /// Says who manages an object, with the value [`super::FIELD_MANAGER`].
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// The Gateway that a pod serves (GEP-1762).
    pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
    /// The Engine that an object was made for.
    pub const ENGINE: &str = "waf.k8s.coraza.io/engine";
}

/// The Go operator's finalizer on Engines, removed on sight.
pub const LEGACY_ENGINE_FINALIZER: &str = "waf.k8s.coraza.io/network-policy-cleanup";
