//! Condition types and reasons: the words that a status, an Event, a dashboard and an alert have in common.

/// What a condition is about.
pub mod condition_type {
    /// The object does its work: a RuleSet's content is good and served, an Engine's objects are applied.
    pub const READY: &str = "Ready";
    /// Work is under way; absent otherwise.
    pub const PROGRESSING: &str = "Progressing";
    /// Something is wrong and a person must act; absent otherwise. What worked before goes on working.
    pub const DEGRADED: &str = "Degraded";
    /// The Engine's target exists and is not claimed by another Engine.
    pub const ACCEPTED: &str = "Accepted";
    /// Each ready gateway pod of the Engine reported that it runs the desired revision.
    pub const ENFORCED: &str = "Enforced";
}

/// Why a condition has its status.
pub mod reason {
    /// First sight of the object.
    pub const RECONCILING: &str = "Reconciling";

    // RuleSet: it waits for caches.
    /// The content is good, but no cache was ever connected to take it.
    pub const AWAITING_CACHE: &str = "AwaitingCache";
    /// The content is good, but every cache that answered refused it.
    pub const CACHE_REJECTED: &str = "CacheRejected";
    /// The content is good and served by at least one cache.
    pub const RULES_CACHED: &str = "RulesCached";

    // RuleSet: something is wrong with it.
    /// A RuleSource or RuleData is named twice.
    pub const DUPLICATE_REFERENCE: &str = "DuplicateReference";
    /// A RuleSource that is named does not exist.
    pub const RULE_SOURCE_NOT_FOUND: &str = "RuleSourceNotFound";
    /// A RuleData that is named does not exist.
    pub const RULE_DATA_NOT_FOUND: &str = "RuleDataNotFound";
    /// A RuleSource that is named exists and can't be decoded.
    pub const RULE_SOURCE_ACCESS_ERROR: &str = "RuleSourceAccessError";
    /// A RuleData that is named exists and can't be decoded.
    pub const RULE_DATA_ACCESS_ERROR: &str = "RuleDataAccessError";
    /// A RuleSource that is named has a syntax error of its own.
    pub const REFERENCED_RULE_SOURCE_INVALID: &str = "ReferencedRuleSourceInvalid";
    /// The sources are well formed, their sum is not valid.
    pub const INVALID_RULE_SET: &str = "InvalidRuleSet";
    /// The sum is valid and has rules that the engine can't run.
    pub const UNSUPPORTED_RULES: &str = "UnsupportedRules";
    /// Rules and data are larger than a limit of the operator's.
    pub const OVERSIZED_RULES: &str = "OversizedRules";

    // Engine: what its gateway pods run.
    /// Every ready gateway pod runs the desired revision.
    pub const REVISION_ENFORCED: &str = "RevisionEnforced";
    /// A ready gateway pod runs another revision, or none, although it had the time to change.
    pub const PODS_STALE: &str = "PodsStale";
    /// A ready gateway pod does not poll.
    pub const PODS_SILENT: &str = "PodsSilent";
    /// The Gateway has no ready pod.
    pub const NO_GATEWAY_PODS: &str = "NoGatewayPods";
    /// The RuleSet never had content that compiled.
    pub const NO_REVISION: &str = "NoRevision";
    /// No cache is connected that could report what pods run.
    pub const NO_REPORTS: &str = "NoReports";
    /// Pods poll and don't say what they run, as those with the Go plugin.
    pub const RUNNING_UNKNOWN: &str = "RunningUnknown";
    /// The pods have time to report.
    pub const AWAITING_REPORTS: &str = "AwaitingReports";
    /// The Engine is not applied to its Gateway.
    pub const NOT_ATTACHED: &str = "NotAttached";

    // RuleSource.
    /// The source's own syntax is good.
    pub const VALIDATED: &str = "Validated";
    /// The source's own syntax is not judged, as its annotation asks.
    pub const VALIDATION_SKIPPED: &str = "ValidationSkipped";
    /// The source has a syntax error.
    pub const INVALID_RULES: &str = "InvalidRules";

    // RuleData.
    /// The files are loaded.
    pub const LOADED: &str = "Loaded";

    // Engine.
    /// The target exists and is this Engine's.
    pub const ACCEPTED: &str = "Accepted";
    /// The target does not exist.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// An older Engine has the same target.
    pub const TARGET_CONFLICT: &str = "TargetConflict";
    /// The Engine's objects are applied.
    pub const CONFIGURED: &str = "Configured";
    /// An Event only: the Engine's WasmPlugin was created.
    pub const WASM_PLUGIN_CREATED: &str = "WasmPluginCreated";
    /// The RuleSet that the Engine names does not exist.
    pub const RULE_SET_NOT_FOUND: &str = "RuleSetNotFound";
    /// The RuleSet that the Engine names is degraded.
    pub const RULE_SET_DEGRADED: &str = "RuleSetDegraded";
    /// The Engine asks for something that can't be.
    pub const INVALID_CONFIGURATION: &str = "InvalidConfiguration";
    /// The NetworkPolicy could not be applied.
    pub const NETWORK_POLICY_FAILED: &str = "NetworkPolicyFailed";
    /// The plugin's ServiceAccount is missing.
    pub const SERVICE_ACCOUNT_FAILED: &str = "ServiceAccountFailed";
    /// No token could be had for the plugin.
    pub const TOKEN_FAILED: &str = "TokenFailed";
    /// The WasmPlugin or another Istio object could not be applied.
    pub const PROVISIONING_FAILED: &str = "ProvisioningFailed";
}
