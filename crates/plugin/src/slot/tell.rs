//! What operators see of a slot: metrics and log lines.

use crate::host::{Host, Level};
use crate::load::{InvalidRules, Loaded};
use crate::log::event;
use crate::poll::Failure;
use crate::revision::Revision;
use crate::site::Site;

use super::{MILLISECOND, Origin, Vm};

/// Rules are in use. A warning, since less isn't shown by default, and collectors make metrics of the line.
pub(super) fn loaded<H: Host>(
    vm: &mut Vm<'_, H>,
    (site, instance): (&Site, &str),
    (before, now): (Option<&Loaded>, &Loaded),
    origin: &Origin,
) {
    let (names, rules) = (&site.names, now.program.rules());
    let success = names.contract("plugin_loads_total", &[("status", "success")]);
    vm.metrics.add(vm.host, success, 1);
    let count = u64::try_from(rules).unwrap_or(u64::MAX);
    vm.metrics.set(vm.host, names.contract("plugin_rule_count", &[]), count);
    set_overrides(vm, site, before, now);
    let took = vm.host.now().saturating_sub(origin.started) / MILLISECOND;
    let (longest, stage) = origin.longest;
    let uuid = now.revision.as_ref().map_or("", |revision| &revision.uuid);
    let (engine, namespace) = site.names_in_logs();
    event(
        vm.host,
        Level::Warn,
        "coraza_waf_plugin_load",
        &[
            ("status", "success"),
            ("engine", engine),
            ("namespace", namespace),
            ("driver_type", "wasm"),
            ("rules", instance),
            ("revision", uuid),
            ("rule_count", &rules.to_string()),
            ("milliseconds", &took.to_string()),
            ("longest_step", stage),
            ("longest_step_milliseconds", &(longest / MILLISECOND).to_string()),
        ],
    );
}

/// Rules can't be used; the last good ones stay.
pub(super) fn refused<H: Host>(
    vm: &mut Vm<'_, H>,
    (site, instance): (&Site, &str),
    revision: &Revision,
    invalid: &InvalidRules,
) {
    let failure = site.names.contract("plugin_loads_total", &[("status", "failure")]);
    vm.metrics.add(vm.host, failure, 1);
    let (engine, namespace) = site.names_in_logs();
    event(
        vm.host,
        Level::Error,
        "coraza_waf_plugin_load",
        &[
            ("status", "failure"),
            ("engine", engine),
            ("namespace", namespace),
            ("driver_type", "wasm"),
            ("rules", instance),
            ("revision", &revision.uuid),
            ("error", &invalid.to_string()),
        ],
    );
}

/// A poll failed.
pub(super) fn failed(host: &impl Host, instance: &str, cluster: &str, failure: &Failure) {
    event(
        host,
        Level::Error,
        "coraza_waf_poll_failure",
        &[
            ("reason", failure.name()),
            ("error", &failure.to_string()),
            ("rules", instance),
            ("cluster", cluster),
        ],
    );
}

/// Polls work again.
pub(super) fn recovered(host: &impl Host, instance: &str) {
    event(host, Level::Info, "coraza_waf_poll_recovered", &[("rules", instance)]);
}

/// Rules didn't get from one worker to the others.
pub(super) fn not_shared(host: &impl Host, error: &str) {
    event(host, Level::Warn, "coraza_waf_shared_rules", &[("error", error)]);
}

/// The gauges of rules that aren't as they were written: set once per load, and to 0 for those that are as written again.
fn set_overrides<H: Host>(vm: &mut Vm<'_, H>, site: &Site, before: Option<&Loaded>, now: &Loaded) {
    let gone = before
        .into_iter()
        .flat_map(|before| before.overrides.iter().map(|one| (one, 0)));
    for (one, value) in gone.chain(now.overrides.iter().map(|one| (one, 1))) {
        let labels = [("rule_id", &*one.rule.to_string()), ("type", one.kind)];
        vm.metrics
            .set(vm.host, site.names.contract("rule_overrides", &labels), value);
    }
}
