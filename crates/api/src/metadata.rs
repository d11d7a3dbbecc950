//! Annotations, labels, finalizers and the field manager: what we read and write in the metadata of objects.

/// The field manager of everything that we write, and the value of the managed-by label.
pub const FIELD_MANAGER: &str = "coraza-kubernetes-operator";

/// The one ServiceAccount of all gateways, in the operator's namespace: its tokens say by their audience which RuleSet they are for.
pub const PLUGIN_SERVICE_ACCOUNT: &str = "coraza-plugin";

/// Annotations that a user sets on our objects, or we on those that we make.
pub mod annotation {
    /// On a RuleSource, with the exact value [`RULE_VALIDATION_OFF`]: don't judge the source alone.
    pub const RULE_VALIDATION: &str = "waf.k8s.coraza.io/rule-validation";
    /// The only value of [`RULE_VALIDATION`] that acts.
    pub const RULE_VALIDATION_OFF: &str = "false";
    /// On a RuleSet, with the exact value [`SKIP_UNSUPPORTED_RULES_CHECK_ON`]: serve it in spite of rules that the engine can't run.
    pub const SKIP_UNSUPPORTED_RULES_CHECK: &str = "waf.k8s.coraza.io/skip-unsupported-rules-check";
    /// The only value of [`SKIP_UNSUPPORTED_RULES_CHECK`] that acts.
    pub const SKIP_UNSUPPORTED_RULES_CHECK_ON: &str = "true";
    /// On a NetworkPolicy: the namespace of the Engine that it was made for.
    pub const ENGINE_NAMESPACE: &str = "waf.k8s.coraza.io/engine-namespace";
    /// On a NetworkPolicy: the name of the Engine that it was made for, which may be too long for a label.
    pub const ENGINE_NAME: &str = "waf.k8s.coraza.io/engine-name";
    /// On an object that no owner reference can tie to its Engine: that one's UID.
    pub const ENGINE_UID: &str = "waf.k8s.coraza.io/engine-uid";
    /// On a GatewayClass, set by its platform: a collector takes the access logs of its Gateways.
    pub const LOG_COLLECTOR: &str = "internal.do-not-use.openshift.io/waf-otel-collector";
}

/// Labels that we set or select by.
pub mod label {
    /// Says who manages an object, with the value [`super::FIELD_MANAGER`].
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// The Gateway that a pod serves (GEP-1762).
    pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
    /// The namespace of a NetworkPolicy's Engine.
    pub const ENGINE_NAMESPACE: &str = "waf.k8s.coraza.io/engine-namespace";
    /// The name of a NetworkPolicy's Engine, shortened if it is longer than a label may be.
    pub const ENGINE_NAME: &str = "waf.k8s.coraza.io/engine-name";
    /// Every namespace has it, with its own name.
    pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
    /// Which program an object belongs to.
    pub const APP_NAME: &str = "app.kubernetes.io/name";
    /// Which installation of a program an object belongs to, by its own name.
    pub const APP_INSTANCE: &str = "app.kubernetes.io/instance";
    /// The Istio control plane that an object is for.
    pub const ISTIO_REVISION: &str = "istio.io/rev";
    /// The Engine that a Telemetry was made for, shortened if it is longer than a label may be.
    pub const ENGINE: &str = "waf.k8s.coraza.io/engine";
}

/// The Go operator's finalizer on Engines, removed on sight.
pub const LEGACY_ENGINE_FINALIZER: &str = "waf.k8s.coraza.io/network-policy-cleanup";
