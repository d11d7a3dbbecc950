//! The operator: where it runs, and what it is made of. Client.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Request;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};

use crate::caches::forward::ForwardError;
use crate::caches::{self, CachesError};
use crate::doctor::certificate::Files;
use crate::doctor::checks::USUAL_NAMESPACE;
use crate::doctor::deployment;
use crate::doctor::facts::{AuthoritySecret, CertificateSecret, Operator, RULES_PORT};
use crate::doctor::finding::{Known, Unknown};
use crate::doctor::gather::{known, listed, unknown};
use crate::doctor::rights::{Right, required};
use crate::output::chain;

/// The name of the Lease that controllers contend for.
const LEASE: &str = "waf.k8s.coraza.io";
/// A RuleSet that nobody has: who shows no token isn't told so.
const PROBE: &str = "rules/doctor/doctor/latest";
/// How many reviews of rights are asked for at a time.
const REVIEWS: usize = 8;

/// Finds the operator: in the namespace that was said, where its Lease is, where its Deployments are, or where it usually is.
pub(super) async fn find(
    client: &Client,
    said: Option<&str>,
    deployments: &Known<Vec<Deployment>>,
) -> Known<Option<Operator>> {
    let namespace = match said {
        Some(namespace) => namespace.to_owned(),
        None => match namespace(client, deployments).await {
            Some(namespace) => namespace,
            None => return Ok(None),
        },
    };
    // Who may not list those of the cluster may list those of the namespace.
    let own = match deployments {
        Ok(all) => Ok(all
            .iter()
            .filter(|one| one.namespace().as_deref() == Some(&namespace))
            .cloned()
            .collect()),
        Err(_) => known(listed(Api::<Deployment>::namespaced(client.clone(), &namespace), "").await),
    };
    Ok(Some(look(client, namespace, &own).await))
}

async fn namespace(client: &Client, deployments: &Known<Vec<Deployment>>) -> Option<String> {
    if let Ok(leader) = caches::leader(client, None).await {
        return Some(leader.namespace);
    }
    match deployments {
        Ok(all) => all
            .iter()
            .find(|one| deployment::is(one, "controller"))
            .and_then(kube::ResourceExt::namespace),
        Err(_) => Some(USUAL_NAMESPACE.to_owned()),
    }
}

async fn look(client: &Client, namespace: String, deployments: &Known<Vec<Deployment>>) -> Operator {
    let component = |name: &str| -> Known<Option<Deployment>> {
        deployments
            .as_ref()
            .map(|all| all.iter().find(|one| deployment::is(one, name)).cloned())
            .map_err(Clone::clone)
    };
    let (controller, cache) = (component("controller"), component("cache"));
    let found: Vec<(&'static str, &Deployment)> = [("controller", &controller), ("cache", &cache)]
        .into_iter()
        .filter_map(|(name, deployment)| Some((name, deployment.as_ref().ok()?.as_ref()?)))
        .collect();
    let service = service(client, &namespace).await;
    let name = service
        .as_ref()
        .ok()
        .and_then(|service| Some(service.as_ref()?.name_any()));
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let own_authority = controller.as_ref().ok().and_then(Option::as_ref);
    let own_authority = own_authority.and_then(|controller| deployment::setting(controller, "self-signed-ca-secret"));
    let (pods, lease, endpoints, answer, caches, certificates, authority, lacking_rights) = tokio::join!(
        pods(client, &namespace, &found),
        async { known(leases.get_opt(LEASE).await) },
        endpoints(client, &namespace, name.as_deref()),
        answer(client, &namespace, name.as_deref()),
        page(client, &namespace),
        certificates(client, &namespace, &found),
        authority(client, &namespace, own_authority),
        lacking_rights(client, &namespace, &found),
    );
    Operator {
        namespace,
        controller,
        cache,
        pods,
        lease,
        service,
        endpoints,
        answer,
        caches,
        certificates,
        authority,
        lacking_rights,
    }
}

async fn pods(client: &Client, namespace: &str, deployments: &[(&'static str, &Deployment)]) -> Known<Vec<Pod>> {
    let mut pods = Vec::new();
    for (_, deployment) in deployments {
        let selector = deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.selector.match_labels.clone())
            .unwrap_or_default();
        let selector: Vec<String> = selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pods.extend(known(
            listed(Api::<Pod>::namespaced(client.clone(), namespace), &selector.join(",")).await,
        )?);
    }
    Ok(pods)
}

async fn service(client: &Client, namespace: &str) -> Known<Option<Service>> {
    let services = known(listed(Api::<Service>::namespaced(client.clone(), namespace), "").await)?;
    let has_rules = |service: &Service| {
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
        ports.is_some_and(|ports| ports.iter().any(|port| port.name.as_deref() == Some(RULES_PORT)))
    };
    Ok(services.into_iter().find(has_rules))
}

async fn endpoints(client: &Client, namespace: &str, service: Option<&str>) -> Known<Vec<EndpointSlice>> {
    let Some(service) = service else { return Ok(Vec::new()) };
    let of_service = format!("kubernetes.io/service-name={service}");
    known(listed(Api::<EndpointSlice>::namespaced(client.clone(), namespace), &of_service).await)
}

/// What a cache answers who has no token, through the API server's proxy.
async fn answer(client: &Client, namespace: &str, service: Option<&str>) -> Known<u16> {
    let Some(service) = service else {
        return Err(Unknown {
            why: "there is no Service".to_owned(),
            forbidden: false,
        });
    };
    let ask = async |scheme: &str| {
        let path = format!("/api/v1/namespaces/{namespace}/services/{scheme}{service}:{RULES_PORT}/proxy/{PROBE}");
        let request = Request::get(path)
            .body(kube::client::Body::empty())
            .map_err(kube::Error::HttpError)?;
        kube::Result::Ok(client.send(request).await?.status().as_u16())
    };
    let plain = known(ask("").await)?;
    // A server of TLS doesn't understand us, as one without it doesn't understand TLS.
    let status = if plain == 401 {
        plain
    } else {
        known(ask("https:").await).unwrap_or(plain).min(plain)
    };
    if status == 403 {
        let why = format!("the right to get services/proxy in namespace {namespace} is missing");
        return Err(Unknown { why, forbidden: true });
    }
    Ok(status)
}

async fn page(client: &Client, namespace: &str) -> Known<(caches::Leader, caches::Document)> {
    let read = async {
        let leader = caches::leader(client, Some(namespace)).await?;
        let document = caches::read(client, &leader).await?;
        Ok::<_, CachesError>((leader, document))
    };
    read.await.map_err(|error| Unknown {
        why: chain(&error),
        forbidden: match &error {
            CachesError::Lease(source)
            | CachesError::Page {
                source: ForwardError::Open(source),
                ..
            } => unknown(source).forbidden,
            CachesError::Page { .. } | CachesError::NoLeader | CachesError::Answer { .. } => false,
        },
    })
}

/// The Secrets that are mounted where the flags say that certificates are.
async fn certificates(
    client: &Client,
    namespace: &str,
    deployments: &[(&'static str, &Deployment)],
) -> Vec<CertificateSecret> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut found = Vec::new();
    for (component, deployment) in deployments {
        for (name, for_use) in deployment::certificates(deployment) {
            let files = known(secrets.get_opt(&name).await).map(files);
            found.push(CertificateSecret {
                component,
                for_use,
                name,
                files,
            });
        }
    }
    found
}

/// The Secret of the controller's own CA, if it has one.
async fn authority(client: &Client, namespace: &str, name: Option<&str>) -> Option<AuthoritySecret> {
    let name = name?.to_owned();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let files = known(secrets.get_opt(&name).await).map(files);
    Some(AuthoritySecret { name, files })
}

fn files(secret: Option<Secret>) -> Option<Files> {
    let data = secret?.data.unwrap_or_default();
    Some(data.into_iter().map(|(file, bytes)| (file, bytes.0)).collect())
}

/// What each component's ServiceAccount may not do of what it must.
async fn lacking_rights(
    client: &Client,
    namespace: &str,
    deployments: &[(&'static str, &Deployment)],
) -> Known<Vec<(String, String)>> {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let questions = deployments.iter().flat_map(|(component, deployment)| {
        let account = deployment::account(deployment);
        required(component, &deployment.name_any())
            .into_iter()
            .map(move |right| (account.clone(), right))
    });
    let answers = stream::iter(questions).map(|(account, right)| {
        let (reviews, review) = (&reviews, review(namespace, &account, &right));
        async move {
            let answer = reviews.create(&PostParams::default(), &review).await?;
            let allowed = answer.status.is_some_and(|status| status.allowed);
            kube::Result::Ok((!allowed).then(|| (account, right.to_string())))
        }
    });
    let lacking: kube::Result<Vec<_>> = answers.buffered(REVIEWS).try_collect().await;
    known(lacking).map(|lacking| lacking.into_iter().flatten().collect())
}

fn review(namespace: &str, account: &str, right: &Right) -> SubjectAccessReview {
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace}:{account}")),
            groups: Some(groups.into()),
            resource_attributes: Some(ResourceAttributes {
                namespace: right.own_namespace.then(|| namespace.to_owned()),
                group: Some(right.group.clone()),
                resource: Some(right.resource.clone()),
                subresource: right.subresource.clone(),
                name: right.name.clone(),
                verb: Some(right.verb.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}
