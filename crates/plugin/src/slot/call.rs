//! A poll as it is sent: path, token, what is known, whose it is.

use crate::config::Cache;
use crate::host::{Call, Host};
use crate::poll::{Request, Want};
use crate::shared::Worst;
use crate::site::Site;

/// Sends a poll; the answer will have the number that comes back.
pub(super) fn send(
    host: &impl Host,
    cache: &Cache,
    site: &Site,
    request: &Request,
    worst: &Worst,
) -> crate::host::Result<u32> {
    let path = match request.want {
        Want::Latest => format!("/rules/{}/latest", cache.instance),
        Want::Rules => format!("/rules/{}", cache.instance),
    };
    let bearer = (!cache.token.is_empty()).then(|| format!("Bearer {}", cache.token));
    let wait = request.wait.map(|seconds| format!("wait={seconds}"));
    let pod = pod(host);
    let engine = site.engine_key();
    let worst = worst.header();
    let fields: [(&str, Option<&str>); 10] = [
        (":method", Some("GET")),
        (":path", Some(&path)),
        (":authority", Some(cache.authority())),
        ("authorization", bearer.as_deref()),
        ("accept-encoding", (request.want == Want::Rules).then_some("gzip")),
        ("if-none-match", request.if_none_match.as_deref()),
        ("prefer", wait.as_deref()),
        ("x-coraza-engine", engine.as_deref()),
        ("x-coraza-pod", pod.as_deref()),
        ("x-coraza-revision", Some(&worst)),
    ];
    let present = fields
        .iter()
        .filter_map(|(name, value)| Some((name.as_bytes(), (*value)?.as_bytes())));
    let headers: Vec<_> = present.collect();
    host.call(&Call {
        cluster: &cache.cluster,
        headers: &headers,
        timeout: request.timeout,
    })
}

/// The pod's name, out of Envoy's node id as Istio has it: `router~10.0.0.1~gateway-abc.namespace~namespace.svc.cluster.local`;
/// of any other, all of it.
fn pod(host: &impl Host) -> Option<String> {
    // Where Envoy has it today, and where it had it before.
    let id = host
        .property(&["xds", "node", "id"])
        .or_else(|_| host.property(&["node", "id"]));
    let id = String::from_utf8(id.ok()?).ok()?;
    let name = match id.split('~').nth(2) {
        Some(pod) => pod.split('.').next().unwrap_or_default(),
        None => &id,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (!name.is_empty() && name.len() <= 253 && name.bytes().all(plain)).then(|| name.to_owned())
}
