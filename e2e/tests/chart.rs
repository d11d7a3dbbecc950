//! What the chart renders to, and that `deploy/` is the same: golden files, contradictions, flags, rights. Reads files and runs programs; the API server isn't asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use coraza_e2e::manifests::{NAMESPACE, chart, helm, identity, is, objects, render, template, try_helm, values};
use coraza_e2e::{cluster, environment, environment::checkout};
use serde_json::{Value, json};

/// With this name, the chart's objects are called as those of `deploy/`.
const NAMED_AS_DEPLOY: &str = "--set=fullnameOverride=coraza";

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn what_is_rendered_is_what_was_reviewed() {
    for (name, file) in values() {
        // The CRDs are long, and have a test of their own.
        let text = render(&file, &["--set=crds.enabled=false"]);
        let reviewed = without_contents(&without_rights(&text));
        insta::assert_snapshot!(name, reviewed);
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn a_package_renders_the_same() {
    // In the checkout, CRDs and rights are symbolic links.
    let folder = tempfile::tempdir().unwrap();
    let (chart, folder) = (chart().display().to_string(), folder.path().display().to_string());
    let said = helm(&["package", &chart, "--destination", &folder]);
    let package = format!("{folder}/coraza-kubernetes-operator-{}.tgz", env!("CARGO_PKG_VERSION"));
    let rendered = |chart: &str| helm(&template("coraza", &[chart]));
    assert!(rendered(&package) == rendered(&chart), "{said}");
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn openshift_is_recognised() {
    for (set, capability, chosen) in [
        (
            "--set=openshift.enabled=auto",
            "--api-versions=security.openshift.io/v1",
            false,
        ),
        ("--set=openshift.enabled=auto", "--api-versions=example.com/v1", true),
        (
            "--set=openshift.enabled=false",
            "--api-versions=security.openshift.io/v1",
            true,
        ),
        ("--set=openshift.enabled=true", "--api-versions=example.com/v1", false),
    ] {
        let rendered = objects(&render(&values()["default"], &[set, capability]));
        for deployment in rendered.iter().filter(|object| is(object, "Deployment")) {
            let context = &deployment["spec"]["template"]["spec"]["securityContext"];
            for field in ["runAsUser", "runAsGroup", "fsGroup"] {
                assert_eq!(context[field].is_number(), chosen, "{set} {capability} {field}");
            }
            assert_eq!(context["runAsNonRoot"], true);
        }
    }
}

/// Without the rights, which are reviewed in `deploy/rbac.yaml`.
fn without_rights(text: &str) -> String {
    let rights = |document: &&str| document.contains("templates/rbac.yaml\n");
    let documents: Vec<&str> = text.split("\n---\n").filter(|document| !rights(document)).collect();
    documents.join("\n---\n")
}

/// Without what dashboards show and rules say, which are files of the chart with tests of their own (`monitoring.rs`).
fn without_contents(text: &str) -> String {
    let cut = |document: &str| {
        for (template, contents) in [("dashboards", "\ndata:\n"), ("prometheusrule", "\nspec:\n")] {
            if document.contains(&format!("templates/monitoring/{template}.yaml\n"))
                && let Some((head, _)) = document.split_once(contents)
            {
                return format!("{head}{contents}  (a file of the chart)");
            }
        }
        document.to_owned()
    };
    let documents: Vec<String> = text.split("\n---\n").map(cut).collect();
    documents.join("\n---\n")
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn lint_has_nothing_to_say() {
    let chart = chart().display().to_string();
    for file in values().into_values() {
        let file = file.display().to_string();
        let said = helm(&["lint", "--strict", "--namespace", NAMESPACE, &chart, "--values", &file]);
        assert!(
            !said.contains("[WARNING]") && !said.contains("[ERROR]"),
            "{file}: {said}"
        );
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn values_that_contradict_each_other_are_refused_with_a_sentence() {
    for (sets, sentence) in [
        (&["certificates.mode=existingSecret"][..], "name both Secrets"),
        (
            &[
                "certificates.mode=existingSecret",
                "certificates.existingSecret.cache=mine",
            ],
            "name both Secrets",
        ),
        (
            &["certificates.existingSecret.cache=mine"],
            "but certificates.mode is selfSigned",
        ),
        (
            &["certificates.certManager.issuerRef.name=mine"],
            "set it to certManager, or leave issuerRef empty",
        ),
        (
            &["limits.maxRuleSetBytes=2000", "limits.maxNamespaceBytes=1000"],
            "a namespace must have room for one RuleSet",
        ),
        (
            &["limits.maxNamespaceBytes=2000", "limits.maxTotalBytes=1000"],
            "there must be room for one namespace",
        ),
        (
            &["controller.leaderElection.leaseDurationSeconds=10"],
            "has a lease of 10 s, a renew deadline of 10 s",
        ),
        (
            &["controller.leaderElection.retryPeriodSeconds=6"],
            "that at least twice the period",
        ),
        (&["cache.drainDelaySeconds=20"], "answers under way would be cut"),
        (
            &["cache.autoscaling.enabled=true", "cache.autoscaling.maxReplicas=2"],
            "minReplicas is more than cache.autoscaling.maxReplicas",
        ),
        (
            &[
                "cache.autoscaling.enabled=true",
                "cache.autoscaling.targetCPUUtilizationPercentage=null",
            ],
            "has nothing to scale by",
        ),
        (
            &["cache.autoscaling.enabled=true", "cache.resources.requests.cpu=null"],
            "cache.resources.requests.cpu is not set",
        ),
        (
            &["cache.serviceAccount.create=false"],
            "name the one to use in cache.serviceAccount.name",
        ),
        (
            &[
                "controller.podDisruptionBudget.minAvailable=1",
                "controller.podDisruptionBudget.maxUnavailable=1",
            ],
            "Kubernetes takes one",
        ),
        (
            &["controller.podDisruptionBudget.minAvailable=2"],
            "leaves none of 2 replicas to evict",
        ),
        (
            &["cache.podDisruptionBudget.minAvailable=100%"],
            "leaves none of 3 replicas to evict",
        ),
        (
            &["service.ipFamilies={IPv4,IPv6}"],
            "set service.ipFamilyPolicy to PreferDualStack",
        ),
        (
            &["cache.pluginFile="],
            "say in defaultWasmImage where Engines get theirs",
        ),
        (&["replicas=2"], "set controller.replicas and cache.replicas"),
        (
            &["resources.limits.memory=1Gi"],
            "set controller.resources and cache.resources",
        ),
        (
            &["image.repository=ghcr.io/x"],
            "set controller.image.repository and cache.image.repository",
        ),
        (
            &["metrics.certSecret=mine", "metrics.secure=false"],
            "metrics are not served over TLS",
        ),
        (
            &["cache.tls.credentialName=mine"],
            "cache.tls says how, but cache.tls.enabled is false",
        ),
        (
            &[
                "cache.tls.enabled=true",
                "cache.tls.credentialName=mine",
                "cache.tls.caCertificates=/mine",
            ],
            "Istio takes one",
        ),
        (
            &["cache.tls.enabled=true", "cache.tls.existingSecret=mine"],
            "say how gateways verify it",
        ),
        (
            &["metrics.serviceMonitor.enabled=true", "metrics.enabled=false"],
            "there would be nothing to scrape",
        ),
        (
            &["metrics.podMonitor.enabled=true"],
            "say which Pods are gateways in metrics.podMonitor.gatewaySelector",
        ),
        (
            &[
                "metrics.renderMode=failIfMissing",
                "metrics.serviceMonitor.enabled=true",
            ],
            "the cluster has no kind ServiceMonitor",
        ),
        // One that the schema refuses: the name that is wrong is said.
        (&["cache.replica=3"], "replica"),
        (&["certificates.mode=none"], "certificates/mode"),
        (&["controller.image.digest=latest"], "controller/image/digest"),
        (&["cache.extraArgs={max-wait=1s}"], "cache/extraArgs"),
    ] {
        let chart = chart().display().to_string();
        let sets: Vec<String> = sets.iter().map(|set| format!("--set={set}")).collect();
        let mut args = template("coraza", &[&chart]);
        args.extend(sets.iter().map(String::as_str));
        let output = try_helm(&args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{sets:?} was taken");
        assert!(said.contains(sentence), "{sets:?}: {said}");
    }
    // All at once, so that nobody has to try again for each.
    let chart = chart().display().to_string();
    let output = try_helm(&template(
        "coraza",
        &[&chart, "--set=replicas=2,resources.limits.cpu=1"],
    ));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("cache.replicas") && said.contains("cache.resources"),
        "{said}"
    );
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn flags_are_those_of_the_programs() {
    let environment = environment();
    let programs = [("controller", &environment.controller), ("cache", &environment.cache)];
    let rendered = values().into_values().flat_map(|file| objects(&render(&file, &[])));
    let mut checked = 0;
    for deployment in rendered.filter(|object| is(object, "Deployment")) {
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let (_, program) = programs.iter().find(|(name, _)| container["name"] == *name).unwrap();
        let args: Vec<&str> = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap())
            .collect();
        let help = Command::new(program).arg("--help").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let known: BTreeSet<&str> = help.split_whitespace().filter(|word| word.starts_with("--")).collect();
        for flag in args.iter().map(|arg| arg.split_once('=').unwrap().0) {
            assert!(known.contains(flag), "{} has no {flag}", program.display());
        }
        // Names may be right and values wrong: the program itself reads both, and gets no further than to where it would need a cluster.
        let output = Command::new(program)
            .env_clear()
            .env("POD_NAMESPACE", NAMESPACE)
            .args(&args)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(!said.contains("no effect here"), "{args:?}: {said}");
        checked += 1;
    }
    assert_eq!(checked, values().len() * programs.len());
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn crds_are_the_generated_ones() {
    let expected = |annotations: Value| -> BTreeMap<String, Value> {
        let files = fs::read_dir(checkout("deploy/crds")).unwrap();
        files
            .map(|file| {
                let mut crd = objects(&fs::read_to_string(file.unwrap().path()).unwrap()).remove(0);
                crd["metadata"]["annotations"] = annotations.clone();
                (identity(&crd), crd)
            })
            .collect()
    };
    for (set, annotations) in [
        ("--set=crds.keep=true", json!({"helm.sh/resource-policy": "keep"})),
        ("--set=crds.keep=false", Value::Null),
        ("--set=crds.enabled=false", Value::Null),
    ] {
        let rendered = objects(&render(&values()["default"], &[set]));
        let crds = rendered
            .into_iter()
            .filter(|object| is(object, "CustomResourceDefinition"));
        let crds: BTreeMap<_, _> = crds
            .map(|mut crd| {
                let metadata = crd["metadata"].as_object_mut().unwrap();
                metadata.remove("labels").expect("labels");
                metadata.entry("annotations").or_insert(Value::Null);
                (identity(&crd), crd)
            })
            .collect();
        let expected = if set.contains("enabled") {
            BTreeMap::new()
        } else {
            expected(annotations)
        };
        assert_eq!(crds, expected, "{set}");
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn deploy_is_the_chart_with_its_defaults() {
    let kustomized = cluster::kubectl(&["kustomize", &checkout("deploy").display().to_string()]);
    let rendered = render(&values()["default"], &[NAMED_AS_DEPLOY]);
    assert_same(&comparable(&rendered), &comparable(&kustomized));
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn deploy_with_cert_manager_is_the_chart_with_cert_manager() {
    // In the checkout, since kustomize takes no absolute paths; in a folder that Git ignores.
    fs::create_dir_all(checkout("target")).unwrap();
    let folder = tempfile::tempdir_in(checkout("target")).unwrap();
    let kustomization = "resources: [../../deploy]\ncomponents: [../../deploy/cert-manager]\n";
    fs::write(folder.path().join("kustomization.yaml"), kustomization).unwrap();
    let kustomized = cluster::kubectl(&["kustomize", &folder.path().display().to_string()]);
    let rendered = render(
        &values()["default"],
        &[NAMED_AS_DEPLOY, "--set=certificates.mode=certManager"],
    );
    // The chart has a Secret for each way to fill it.
    let rendered = rendered.replace("-cert-manager\n", "-tls\n");
    assert_same(&comparable(&rendered), &comparable(&kustomized));
}

/// Objects by what they are, without what differs by who installs them. Rights are compared by what they allow.
fn comparable(yaml: &str) -> BTreeMap<String, Value> {
    let objects = objects(yaml).into_iter().filter(|object| !is_role(object));
    objects
        .map(|mut object| {
            with_whole_numbers(&mut object);
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.remove("annotations");
            if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
                for label in [
                    "helm.sh/chart",
                    "app.kubernetes.io/version",
                    "app.kubernetes.io/managed-by",
                    "app.kubernetes.io/component",
                ] {
                    labels.remove(label);
                }
            }
            (identity(&object), object)
        })
        .collect()
}

/// Whether it gives or binds rights; the roles that are aggregated into the cluster's are objects like any other.
fn is_role(object: &Value) -> bool {
    let binds = ["Role", "RoleBinding", "ClusterRoleBinding"]
        .iter()
        .any(|kind| is(object, kind));
    let aggregated = ["coraza-view", "coraza-edit"]
        .iter()
        .any(|name| object["metadata"]["name"] == *name);
    binds || (is(object, "ClusterRole") && !aggregated)
}

fn assert_same(chart: &BTreeMap<String, Value>, deploy: &BTreeMap<String, Value>) {
    let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(chart), names(deploy), "the chart's objects, and those of deploy/");
    for (name, object) in chart {
        let pretty = |object: &Value| serde_json::to_string_pretty(object).unwrap();
        let (chart, deploy) = (pretty(object), pretty(&deploy[name]));
        let differing = chart
            .lines()
            .zip(deploy.lines())
            .enumerate()
            .find(|(_, (chart, deploy))| chart != deploy);
        assert!(chart == deploy, "{name}, by the chart and by deploy/: {differing:?}");
    }
}

/// Numbers as YAML writers agree on them: 1.0 is 1.
fn with_whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number
                .as_f64()
                .map(|float| format!("{float}"))
                .and_then(|text| text.parse::<i64>().ok())
            {
                *value = whole.into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(with_whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(with_whole_numbers),
        _ => {}
    }
}

/// One thing that a ServiceAccount may do: where, and what.
type Grant = (String, String);

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn rights_are_those_of_deploy() {
    let deployed = objects(&fs::read_to_string(checkout("deploy/rbac.yaml")).unwrap());
    // `deploy/rbac.yaml` has those for polls over TLS too, which a kustomization may turn on.
    let flags = [NAMED_AS_DEPLOY, "--set=cache.tls.enabled=true"];
    let rendered = objects(&render(&values()["default"], &flags));
    for account in ["coraza-controller", "coraza-cache"] {
        let (expected, found) = (grants(&deployed, account), grants(&rendered, account));
        assert!(!expected.is_empty(), "{account}");
        assert_eq!(
            found, expected,
            "what {account} may do by the chart, and by deploy/rbac.yaml"
        );
    }
    for objects in [&deployed, &rendered] {
        assert_eq!(
            grants(objects, "coraza-plugin"),
            BTreeSet::new(),
            "the plugin's ServiceAccount has no rights"
        );
        let escalates = |(_, what): &Grant| what.contains('*') || what.contains("secrets");
        let too_much = |account| -> Vec<Grant> { grants(objects, account).into_iter().filter(escalates).collect() };
        assert_eq!(too_much("coraza-cache"), []);
        // Its own CA's, by name and where it runs.
        let own = ["cache-tls", "controller-tls", "self-signed-ca"].map(|name| format!("/secrets/coraza-{name}"));
        let own = ["get", "patch"].into_iter().flat_map(|verb| {
            let allowed = own
                .iter()
                .map(move |secret| (NAMESPACE.to_owned(), format!("{verb} {secret}")));
            allowed.collect::<Vec<_>>()
        });
        assert_eq!(too_much("coraza-controller"), own.collect::<Vec<_>>());
    }
    for mode in ["certManager", "existingSecret"] {
        let file = values()[if mode == "certManager" { "everything" } else { "least" }].clone();
        let rendered = objects(&render(&file, &["--set=rbac.create=true"]));
        let roles = rendered
            .iter()
            .filter(|object| is(object, "Role") || is(object, "ClusterRole"));
        for rule in roles.flat_map(|role| role["rules"].as_array().unwrap()) {
            assert!(!rule.to_string().contains("secrets"), "with {mode}: {rule}");
        }
    }
}

fn grants(objects: &[Value], account: &str) -> BTreeSet<Grant> {
    let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE});
    let bindings = objects
        .iter()
        .filter(|object| is(object, "RoleBinding") || is(object, "ClusterRoleBinding"));
    let mut grants = BTreeSet::new();
    for binding in bindings.filter(|binding| binding["subjects"].as_array().unwrap().contains(&subject)) {
        let place = binding["metadata"]["namespace"].as_str().unwrap_or("everywhere");
        let role = objects
            .iter()
            .find(|object| {
                object["kind"] == binding["roleRef"]["kind"] && object["metadata"]["name"] == binding["roleRef"]["name"]
            })
            .unwrap_or_else(|| panic!("{} binds a role that isn't there", identity(binding)));
        for rule in role["rules"].as_array().unwrap() {
            grants.extend(allowed(rule).into_iter().map(|what| (place.to_owned(), what)));
        }
    }
    grants
}

/// What a rule allows, each thing alone: rules may be cut in many ways.
fn allowed(rule: &Value) -> Vec<String> {
    let list = |name: &str| -> Vec<String> {
        let values = rule.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    let names = match list("resourceNames") {
        names if names.is_empty() => vec!["any".to_owned()],
        names => names,
    };
    let mut allowed = Vec::new();
    for verb in list("verbs") {
        for path in list("nonResourceURLs") {
            allowed.push(format!("{verb} {path}"));
        }
        for group in list("apiGroups") {
            for resource in list("resources") {
                allowed.extend(names.iter().map(|name| format!("{verb} {group}/{resource}/{name}")));
            }
        }
    }
    allowed
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn there_is_one_version() {
    let version = env!("CARGO_PKG_VERSION");
    let about = objects(&fs::read_to_string(chart().join("Chart.yaml")).unwrap()).remove(0);
    assert_eq!(
        (&about["version"], &about["appVersion"]),
        (&json!(version), &json!(version))
    );
    let kustomization = objects(&fs::read_to_string(checkout("deploy/kustomization.yaml")).unwrap()).remove(0);
    let mut images = objects(about["annotations"]["artifacthub.io/images"].as_str().unwrap()).remove(0);
    for (shown, deployed) in images
        .as_array_mut()
        .unwrap()
        .iter()
        .zip(kustomization["images"].as_array().unwrap())
    {
        assert_eq!(deployed["newTag"], json!(version));
        assert_eq!(
            shown["image"],
            json!(format!("{}:{version}", deployed["name"].as_str().unwrap()))
        );
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask test"]
fn every_value_has_a_schema_and_the_schema_has_no_other() {
    let schema: Value = serde_json::from_str(&fs::read_to_string(chart().join("values.schema.json")).unwrap()).unwrap();
    let defaults = objects(&fs::read_to_string(chart().join("values.yaml")).unwrap()).remove(0);
    assert_described(&schema, &schema, &defaults, "");
}

/// Follows values and schema down to where one of them ends.
fn assert_described(root: &Value, schema: &Value, value: &Value, path: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let (Some(properties), Some(values)) = (schema["properties"].as_object(), value.as_object()) else {
        return;
    };
    for (name, value) in values {
        let schema = properties
            .get(name)
            .unwrap_or_else(|| panic!("{path}.{name} is in no schema"));
        assert_described(root, schema, value, &format!("{path}.{name}"));
    }
    for (name, schema) in properties {
        // Values of the Go operator's chart are only there to be told of.
        let of_go = schema["description"]
            .as_str()
            .is_some_and(|text| text.contains("Go operator"));
        // An issuer is what cert-manager says it is, by default none.
        let free = path.ends_with(".issuerRef");
        assert!(
            of_go || free || values.contains_key(name),
            "{path}.{name} is not in values.yaml"
        );
    }
}
