//! What a Deployment of ours says: which component it is, its program's flags, the Secrets that it mounts. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use kube::ResourceExt as _;

use crate::doctor::facts::Use;

/// Whether it is the `controller` or the `cache`.
pub(crate) fn is(deployment: &Deployment, component: &str) -> bool {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let labels = template.and_then(|template| template.metadata.as_ref()?.labels.as_ref());
    let labelled = labels
        .and_then(|labels| labels.get("app.kubernetes.io/component"))
        .is_some_and(|label| label == component);
    labelled && setting(deployment, "tls-dir").is_some()
}

/// What the program is told: by a flag, or by the flag's twin in the environment. One that is empty is as if it weren't there.
pub(crate) fn setting<'a>(deployment: &'a Deployment, name: &str) -> Option<&'a str> {
    let container = container(deployment)?;
    let by_flag = || flag(container.args.as_deref().unwrap_or_default(), name);
    let by_variable = || {
        let twin = format!("CORAZA_{}", name.to_uppercase().replace('-', "_"));
        let variables = container.env.as_deref().unwrap_or_default();
        let variable = variables.iter().find(|variable| variable.name == twin)?;
        variable.value.as_deref()
    };
    by_flag().or_else(by_variable).filter(|value| !value.is_empty())
}

/// `--name=value`, or the two apart.
fn flag<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    args.iter().enumerate().find_map(|(at, arg)| {
        let rest = arg.strip_prefix("--")?.strip_prefix(name)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if rest.is_empty() => args.get(at + 1).map(String::as_str),
            None => None,
        }
    })
}

/// The Secrets that are mounted where the flags say that certificates are.
pub(crate) fn certificates(deployment: &Deployment) -> Vec<(String, Use)> {
    let flags = [
        ("tls-dir", Use::Peers),
        ("http-tls-dir", Use::Callers),
        ("metrics-cert-path", Use::Callers),
    ];
    let named = |(name, for_use)| Some((mounted(deployment, setting(deployment, name)?)?, for_use));
    flags.into_iter().filter_map(named).collect()
}

/// The Secret that is mounted as this directory.
fn mounted(deployment: &Deployment, directory: &str) -> Option<String> {
    let mounts = container(deployment)?.volume_mounts.as_deref().unwrap_or_default();
    let mount = mounts.iter().find(|mount| mount.mount_path == directory)?;
    let volumes = pod(deployment)?.volumes.as_deref().unwrap_or_default();
    let volume = volumes.iter().find(|volume| volume.name == mount.name)?;
    volume.secret.as_ref()?.secret_name.clone()
}

/// The ServiceAccount that its Pods have.
pub(crate) fn account(deployment: &Deployment) -> String {
    let named = pod(deployment).and_then(|pod| pod.service_account_name.clone());
    named.unwrap_or_else(|| "default".to_owned())
}

/// What the Deployment says that it is: the label that the chart sets, else its image's tag. A digest says nothing.
pub(crate) fn version(deployment: &Deployment) -> Option<String> {
    if let Some(version) = deployment.labels().get("app.kubernetes.io/version") {
        return Some(version.clone());
    }
    let image = container(deployment)?.image.as_deref()?;
    let (_, tag) = image.rsplit_once(':')?;
    let is_tag = !tag.contains('/') && !image.contains('@');
    is_tag.then(|| tag.trim_start_matches('v').to_owned())
}

fn pod(deployment: &Deployment) -> Option<&PodSpec> {
    deployment.spec.as_ref()?.template.spec.as_ref()
}

fn container(deployment: &Deployment) -> Option<&Container> {
    pod(deployment)?.containers.first()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(args: &[&str]) -> Deployment {
        let env = json!([
            {"name": "CORAZA_CACHE_SERVICE", "value": "caches"},
            {"name": "CORAZA_TLS_DIR", "value": "/elsewhere"},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]);
        let spec = json!({
            "containers": [{"name": "controller", "image": "registry.example:5000/coraza:v1.2.3", "args": args, "env": env,
                "volumeMounts": [{"name": "tls", "mountPath": "/tls"}, {"name": "scratch", "mountPath": "/scratch"}]}],
            "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "tls", "secret": {"secretName": "controller-tls"}}],
        });
        let template = json!({"metadata": {"labels": {"app.kubernetes.io/component": "controller"}}, "spec": spec});
        let deployment = json!({"metadata": {"name": "a"}, "spec": {"selector": {}, "template": template}});
        serde_json::from_value(deployment).unwrap()
    }

    #[test]
    fn a_setting_is_a_flag_in_either_form_or_its_twin() {
        let told = deployment(&[
            "--tls-dir=/tls",
            "--tls-directory=/no",
            "--envoy-cluster-name",
            "own",
            "--empty=",
        ]);
        for (name, value) in [
            ("tls-dir", Some("/tls")),
            ("envoy-cluster-name", Some("own")),
            ("cache-service", Some("caches")),
            ("empty", None),
            ("pod-name", None),
            ("tls", None),
        ] {
            assert_eq!(setting(&told, name), value, "{name}");
        }
        assert_eq!(setting(&deployment(&["--last"]), "last"), None);
    }

    #[test]
    fn the_secret_is_the_one_that_is_mounted_where_the_flag_says() {
        let secrets = |args: &[&str]| certificates(&deployment(args));
        assert_eq!(
            secrets(&["--tls-dir=/tls"]),
            [("controller-tls".to_owned(), Use::Peers)]
        );
        for args in [&["--tls-dir=/scratch"][..], &["--tls-dir=/nowhere"], &[]] {
            assert_eq!(secrets(args), [], "{args:?}");
        }
    }

    #[test]
    fn a_component_is_known_by_its_label_and_its_flag() {
        let controller = deployment(&["--tls-dir=/tls"]);
        assert!(is(&controller, "controller") && !is(&controller, "cache"));
        let mut other = controller.clone();
        other.spec.as_mut().unwrap().template.spec.as_mut().unwrap().containers[0].args = None;
        other.spec.as_mut().unwrap().template.spec.as_mut().unwrap().containers[0].env = None;
        assert!(!is(&other, "controller"), "somebody else's");
        assert_eq!(version(&controller).as_deref(), Some("1.2.3"));
        assert_eq!(account(&controller), "default");
    }
}
