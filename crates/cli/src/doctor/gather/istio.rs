//! The control planes of Istio that run in this cluster. Client.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt as _};

use crate::doctor::facts::ControlPlane;
use crate::doctor::finding::Known;
use crate::output::chain;

/// Those among the Deployments, each with its mesh's configuration.
pub(super) async fn control_planes(client: &Client, deployments: &Known<Vec<Deployment>>) -> Known<Vec<ControlPlane>> {
    let deployments = deployments.as_ref().map_err(Clone::clone)?;
    let mut planes = Vec::new();
    for deployment in deployments
        .iter()
        .filter(|deployment| deployment.labels().get("app").is_some_and(|app| app == "istiod"))
    {
        let mut plane = view(deployment);
        match mesh(client, &plane).await {
            Ok(mesh) => plane.mesh = mesh,
            Err(error) => plane.mesh_unknown = Some(chain(&error)),
        }
        planes.push(plane);
    }
    Ok(planes)
}

fn view(deployment: &Deployment) -> ControlPlane {
    let containers = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref())
        .map(|pod| pod.containers.as_slice());
    let containers = containers.unwrap_or_default();
    let container = containers
        .iter()
        .find(|container| container.name == "discovery")
        .or_else(|| containers.first());
    let variables = container
        .and_then(|container| container.env.as_ref())
        .into_iter()
        .flatten();
    let environment: BTreeMap<String, String> = variables
        .filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)))
        .collect();
    let image = container
        .and_then(|container| container.image.as_deref())
        .unwrap_or_default();
    let tag = image
        .split('@')
        .next()
        .and_then(|image| image.rsplit_once(':'))
        .map(|(_, tag)| tag);
    ControlPlane {
        namespace: deployment.namespace().unwrap_or_default(),
        name: deployment.name_any(),
        revision: deployment
            .labels()
            .get("istio.io/rev")
            .cloned()
            .unwrap_or_else(|| "default".to_owned()),
        version: tag
            .filter(|tag| !tag.contains('/'))
            .unwrap_or("of an unknown version")
            .to_owned(),
        ready: deployment
            .status
            .as_ref()
            .and_then(|status| status.ready_replicas)
            .unwrap_or_default(),
        environment,
        mesh: None,
        mesh_unknown: None,
    }
}

/// The mesh's configuration; nothing if it isn't in the usual place, or is no YAML.
async fn mesh(client: &Client, plane: &ControlPlane) -> kube::Result<Option<serde_json::Value>> {
    let name = if plane.revision == "default" {
        "istio".to_owned()
    } else {
        format!("istio-{}", plane.revision)
    };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &plane.namespace);
    let map = maps.get_opt(&name).await?;
    let text = map.and_then(|map| map.data?.remove("mesh"));
    Ok(text.and_then(|text| serde_saphyr::from_str(&text).ok()))
}
