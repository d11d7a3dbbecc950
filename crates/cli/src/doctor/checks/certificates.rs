//! The certificates in the Secrets that controller and caches mount, and the CA in the one that the controller keeps.

use k8s_openapi::jiff::Timestamp;

use crate::doctor::certificate::{Certificate, Files, accepted, pair, read, verify};
use crate::doctor::checks::{about_the_operator, known, plural};
use crate::doctor::facts::{CertificateSecret, Facts, Operator, Use};
use crate::doctor::finding::{Checked, Finding};
use crate::output::chain;

const DAY: i64 = 86_400;
/// Whoever renews by hand needs some days.
const SOON: i64 = 7 * DAY;
/// A certificate of a short life is renewed late in it.
const LAST_PART: i64 = 10;
/// The file of the CA's Secret with its successor, while there is one.
const SUCCESSOR: &str = "next.crt";

/// That each is there, is good, and is so for a while.
pub(super) fn secrets(facts: &Facts) -> Checked {
    about_the_operator("Certificates", facts, |operator| {
        let mut findings = Vec::new();
        for secret in &operator.certificates {
            let name = format!("Secret {}/{}", operator.namespace, secret.name);
            let what = format!("{name} can't be read");
            match known(&secret.files, &what, &mut findings) {
                None => {}
                Some(None) => findings.push(Finding::problem(
                    format!(
                        "the Secret with the certificate of the {} does not exist: its Pods do not start",
                        secret.component
                    ),
                    format!("there is no {name}"),
                    renew(&operator.namespace, secret),
                )),
                Some(Some(files)) => {
                    findings.extend(judge(
                        &name,
                        secret,
                        files,
                        facts.now,
                        &renew(&operator.namespace, secret),
                    ));
                }
            }
        }
        (plural(operator.certificates.len(), "Secret"), findings)
    })
}

fn renew(namespace: &str, secret: &CertificateSecret) -> String {
    format!(
        "what fills it depends on certificates.mode of the chart: for selfSigned, kubectl -n {namespace} delete secret {} and helm upgrade; for certManager, kubectl -n {namespace} describe certificate; for existingSecret, fill it",
        secret.name
    )
}

fn judge(name: &str, secret: &CertificateSecret, files: &Files, now: Timestamp, fix: &str) -> Option<Finding> {
    let component = secret.component;
    let certificate = match read(files) {
        Ok(certificate) => certificate,
        Err(error) => {
            let what = format!("{name} has no certificate that the {component} can use");
            return Some(Finding::problem(what, error.to_string(), fix));
        }
    };
    let Certificate {
        not_before,
        not_after,
        ref names,
    } = certificate;
    let now_seconds = now.as_second();
    if not_after <= now_seconds {
        return Some(Finding::problem(
            format!("the certificate of the {component} has expired: connections that are made anew fail"),
            format!("{name} was good until {}", date(not_after)),
            fix,
        ));
    }
    if not_before > now_seconds {
        return Some(Finding::problem(
            format!("the certificate of the {component} is not good yet"),
            format!("{name} is good from {}", date(not_before)),
            "see that the clocks of the nodes are right",
        ));
    }
    if secret.for_use == Use::Peers
        && let Err(error) = verify(files, identity(component), now)
    {
        let error = chain(&error);
        return Some(Finding::problem(
            format!("the certificate of the {component} is not one that its peers accept"),
            format!("{name}: {error}; its names are {}", names.join(", ")),
            fix,
        ));
    }
    ends_soon(&certificate, now).then(|| {
        Finding::warning(
            format!("the certificate of the {component} expires soon"),
            format!("{name} is good until {}", date(not_after)),
            fix,
        )
    })
}

/// Whom its peers expect a component to be.
fn identity(component: &str) -> &'static str {
    if component == "controller" {
        "coraza-controller"
    } else {
        "coraza-cache"
    }
}

/// Whether it ends before long, for what its life was.
fn ends_soon(certificate: &Certificate, now: Timestamp) -> bool {
    let Certificate {
        not_before,
        not_after,
        names: _,
    } = certificate;
    not_after - now.as_second() < SOON.min((not_after - not_before) / LAST_PART)
}

fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// That the controller's own CA, if it has one, can sign, and is the one that did.
pub(super) fn authority(facts: &Facts) -> Checked {
    about_the_operator("Certificate authority", facts, |operator| {
        let Some(secret) = &operator.authority else {
            // A Deployment that can't be read is said where it is looked at.
            let known = operator.controller.is_ok();
            let looked_at = if known { "not the controller's own" } else { "unknown" };
            return (looked_at.to_owned(), Vec::new());
        };
        let mut findings = Vec::new();
        let name = format!("Secret {}/{}", operator.namespace, secret.name);
        match known(&secret.files, &format!("{name} can't be read"), &mut findings) {
            None => {}
            Some(None) => findings.push(Finding::problem(
                "the Secret of the controller's own CA does not exist: no certificate is renewed",
                format!("there is no {name}"),
                "helm upgrade, or kubectl apply -k deploy: it is part of the installation, and the controller fills it",
            )),
            Some(Some(files)) => match can_not_sign(&name, files, operator, facts.now) {
                Some(finding) => findings.push(finding),
                None => findings.extend(others_leaves(&name, files, operator, facts.now)),
            },
        }
        (name, findings)
    })
}

/// Why the CA signs nothing, or will not for long.
fn can_not_sign(name: &str, files: &Files, operator: &Operator, now: Timestamp) -> Option<Finding> {
    let logs = format!(
        "see that a controller leads, which fills it: kubectl -n {} logs -l app.kubernetes.io/component=controller --prefix | grep -i certificate",
        operator.namespace
    );
    // Between a CA that was lost and its successor there is none, until everybody trusts the latter.
    let is_followed = files.get(SUCCESSOR).is_some_and(|successor| !successor.is_empty());
    let certificate = match read(files).and_then(|certificate| pair(files).map(|()| certificate)) {
        Ok(certificate) => certificate,
        Err(_) if is_followed => return None,
        Err(error) => {
            let what = "the controller's own CA can't be used: no certificate is made or renewed";
            return Some(Finding::problem(what, format!("{name}: {}", chain(&error)), logs));
        }
    };
    let until = format!("{name} was good until {}", date(certificate.not_after));
    if certificate.not_after <= now.as_second() {
        let what = "the controller's own CA has expired: certificates by it are not accepted";
        return Some(Finding::problem(what, until, logs));
    }
    if certificate.not_before > now.as_second() {
        return Some(Finding::problem(
            "the controller's own CA is not good yet",
            format!("{name} is good from {}", date(certificate.not_before)),
            "see that the clocks of the nodes are right",
        ));
    }
    (ends_soon(&certificate, now) && !is_followed).then(|| {
        Finding::warning(
            "the controller's own CA expires soon, and has no successor",
            format!("{name} is good until {}", date(certificate.not_after)),
            logs,
        )
    })
}

/// Certificates that are good by themselves, and not by this CA.
fn others_leaves(name: &str, files: &Files, operator: &Operator, now: Timestamp) -> Vec<Finding> {
    let peers = operator
        .certificates
        .iter()
        .filter(|secret| secret.for_use == Use::Peers);
    peers
        .filter_map(|secret| {
            let (shown, identity) = (secret.files.as_ref().ok()?.as_ref()?, identity(secret.component));
            // What is wrong with the certificate itself is said where it is looked at.
            verify(shown, identity, now).ok()?;
            let error = accepted(shown, files, identity, now).err()?;
            let evidence = format!(
                "Secret {}/{} against ca.crt of {name}: {}",
                operator.namespace,
                secret.name,
                chain(&error)
            );
            Some(Finding::problem(
                format!(
                    "the certificate of the {} is not by the controller's own CA: who trusts that does not accept it",
                    secret.component
                ),
                evidence,
                format!(
                    "see that a controller leads, which replaces it; if the Secret is somebody else's, kubectl -n {} delete secret {} and helm upgrade",
                    operator.namespace, secret.name
                ),
            ))
        })
        .collect()
}
