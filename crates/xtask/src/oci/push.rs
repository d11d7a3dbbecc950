//! Pushing an image to a registry, by the protocol that all registries speak (OCI distribution 1.1), with curl for what it takes to
//! reach one: TLS, proxies, and a password from its own `.netrc`.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Blob, Tagged};
use crate::program::Program;

/// `registry/repository:tag`.
#[derive(Debug, PartialEq, Eq)]
struct Reference<'a> {
    registry: &'a str,
    repository: &'a str,
    tag: &'a str,
}

impl<'a> Reference<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let text = text.strip_prefix("oci://").unwrap_or(text);
        let Some((registry, rest)) = text.split_once('/') else {
            bail!("`{text}` names no registry: registry/repository:tag");
        };
        let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
        if registry.is_empty() || repository.is_empty() || tag.is_empty() {
            bail!("`{text}` is not registry/repository:tag");
        }
        Ok(Self {
            registry,
            repository,
            tag,
        })
    }

    /// Registries on loopback speak plain HTTP, as for docker.
    fn base(&self) -> String {
        let host = self.registry.rsplit_once(':').map_or(self.registry, |(host, _)| host);
        let local = host == "localhost" || host.starts_with("127.") || host == "[::1]";
        let scheme = if local { "http" } else { "https" };
        format!("{scheme}://{}/v2/{}", self.registry, self.repository)
    }
}

/// Pushes an image, or those for several machines, and has the reference's tag stand for it.
pub(crate) async fn push(tagged: &Tagged, reference: &str) -> Result<()> {
    let reference = Reference::parse(reference)?;
    let folder = tempfile::tempdir()?;
    for image in &tagged.images {
        for blob in [&image.config, &image.layer] {
            upload(&reference, blob, folder.path())
                .await
                .with_context(|| format!("failed to push {}", blob.digest()))?;
        }
        name(&reference, &image.manifest, &image.manifest.digest(), folder.path()).await?;
    }
    let top = tagged.top().context("there is no image to push")?;
    name(&reference, top, reference.tag, folder.path()).await?;
    println!(
        "pushed    {}/{}:{} as {}",
        reference.registry,
        reference.repository,
        reference.tag,
        tagged.digest()
    );
    Ok(())
}

/// Gives a manifest or an index its name in the repository: a tag, or its digest.
async fn name(reference: &Reference<'_>, manifest: &Blob, name: &str, folder: &Path) -> Result<()> {
    let file = folder.join("manifest");
    std::fs::write(&file, &manifest.bytes)?;
    let kind = format!("content-type: {}", manifest.media_type);
    let url = format!("{}/manifests/{name}", reference.base());
    curl()
        .args(["--request", "PUT", "--header", &kind, "--data-binary"])
        .arg(at(&file))
        .arg(&url)
        .stdout()
        .await
        .map(drop)
}

async fn upload(reference: &Reference<'_>, blob: &Blob, folder: &Path) -> Result<()> {
    let base = reference.base();
    let digest = blob.digest();
    if curl()
        .args(["--head", &format!("{base}/blobs/{digest}")])
        .stdout()
        .await
        .is_ok()
    {
        return Ok(());
    }
    let head = curl().args([
        "--request",
        "POST",
        "--dump-header",
        "-",
        "--output",
        "/dev/null",
        &format!("{base}/blobs/uploads/"),
    ]);
    let head = head.stdout().await?;
    let place = location(&head, &base).context("the registry names no place to upload to")?;
    let separator = if place.contains('?') { '&' } else { '?' };
    let file = folder.join("blob");
    std::fs::write(&file, &blob.bytes)?;
    let put = curl().args([
        "--request",
        "PUT",
        "--header",
        "content-type: application/octet-stream",
        "--data-binary",
    ]);
    put.arg(at(&file))
        .arg(format!("{place}{separator}digest={digest}"))
        .stdout()
        .await?;
    Ok(())
}

fn curl() -> Program {
    Program::new("curl").args([
        "--silent",
        "--show-error",
        "--fail",
        "--netrc-optional",
        "--max-time",
        "120",
    ])
}

fn at(file: &Path) -> String {
    format!("@{}", file.display())
}

/// The place that an answer names, whole: registries give a path alone, too.
fn location(head: &str, base: &str) -> Option<String> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, place) = fields.find(|(name, _)| name.eq_ignore_ascii_case("location"))?;
    let place = place.trim();
    if place.contains("://") {
        return Some(place.to_owned());
    }
    let (root, _) = base.split_once("/v2/")?;
    Some(format!("{root}{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let reference = Reference::parse("oci://ghcr.io/acme/coraza/plugin:v1").unwrap();
        assert_eq!(
            reference,
            Reference {
                registry: "ghcr.io",
                repository: "acme/coraza/plugin",
                tag: "v1"
            }
        );
        assert_eq!(reference.base(), "https://ghcr.io/v2/acme/coraza/plugin");
        assert_eq!(
            Reference::parse("127.0.0.1:5000/plugin").unwrap().base(),
            "http://127.0.0.1:5000/v2/plugin"
        );
        for wrong in ["plugin", "/plugin:v1", "registry/:v1", "registry/plugin:"] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_are_made_whole() {
        let base = "http://127.0.0.1:5000/v2/plugin";
        let head = "HTTP/1.1 202 Accepted\r\nLocation: /v2/plugin/blobs/uploads/1?_state=x\r\n";
        assert_eq!(
            location(head, base).as_deref(),
            Some("http://127.0.0.1:5000/v2/plugin/blobs/uploads/1?_state=x")
        );
        assert_eq!(
            location("location: https://x/y\r\n", base).as_deref(),
            Some("https://x/y")
        );
        assert_eq!(location("HTTP/1.1 202 Accepted\r\n", base), None);
    }
}
