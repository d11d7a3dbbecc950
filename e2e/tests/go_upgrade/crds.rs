//! The custom resource definitions as the Go operator has them.

use coraza_e2e::cluster::kubectl;
use coraza_e2e::environment::checkout;
use coraza_e2e::manifests::objects;
use coraza_e2e::until;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;

/// Puts CRDs of the Go operator's shape in the place of ours: without what was added since, and without a status for sources and data.
pub(crate) async fn older(client: &Client) {
    let folder = checkout("deploy/crds");
    let files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    let crds: Vec<Value> = files
        .iter()
        .flat_map(|file| objects(&std::fs::read_to_string(file).unwrap()))
        .collect();
    assert_eq!(crds.len(), 4);
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in &crds {
        let name = crd["metadata"]["name"].as_str().unwrap();
        let _ = api.delete(name, &DeleteParams::default()).await;
        until(&format!("{name} to be gone"), async || {
            match api.get_opt(name).await.unwrap() {
                None => Ok(()),
                Some(_) => Err("it is there"),
            }
        })
        .await;
        let older = serde_json::from_value(without_what_was_added(crd.clone())).unwrap();
        api.create(&PostParams::default(), &older).await.unwrap();
    }
    kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]);
}

fn without_what_was_added(mut crd: Value) -> Value {
    let without_status = ["rulesources.waf.k8s.coraza.io", "ruledata.waf.k8s.coraza.io"];
    let without_status = without_status.contains(&crd["metadata"]["name"].as_str().unwrap());
    let names = crd["spec"]["names"].as_object_mut().unwrap();
    names.remove("shortNames");
    names.remove("categories");
    let version = crd["spec"]["versions"][0].as_object_mut().unwrap();
    if without_status {
        version.remove("subresources");
        version.remove("additionalPrinterColumns");
    } else {
        let columns = version["additionalPrinterColumns"].as_array_mut().unwrap();
        columns.retain(|column| !["Revision", "Enforced"].contains(&column["name"].as_str().unwrap()));
    }
    let schema = version["schema"]["openAPIV3Schema"]["properties"]
        .as_object_mut()
        .unwrap();
    if without_status {
        schema.remove("status");
    } else {
        let status = schema["status"]["properties"].as_object_mut().unwrap();
        status.retain(|name, _| name == "conditions");
    }
    schema["spec"]["properties"]
        .as_object_mut()
        .unwrap()
        .remove("observability");
    crd
}
