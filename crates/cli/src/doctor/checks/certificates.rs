//! The certificates in the Secrets that controller and caches mount.

use k8s_openapi::jiff::Timestamp;

use crate::doctor::certificate::{Certificate, Files, read, verify};
use crate::doctor::checks::{about_the_operator, known, plural};
use crate::doctor::facts::{CertificateSecret, Facts, Use};
use crate::doctor::finding::{Checked, Finding};

const DAY: i64 = 86_400;
/// Whoever renews by hand needs some days.
const SOON: i64 = 7 * DAY;
/// A certificate of a short life is renewed late in it.
const LAST_PART: i64 = 10;

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
        names,
    } = certificate;
    let now_seconds = now.as_second();
    let date =
        |seconds: i64| Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string());
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
    if secret.for_use == Use::Peers {
        let wanted = if component == "controller" {
            "coraza-controller"
        } else {
            "coraza-cache"
        };
        if let Err(error) = verify(files, wanted, now) {
            let error = crate::output::chain(&error);
            return Some(Finding::problem(
                format!("the certificate of the {component} is not one that its peers accept"),
                format!("{name}: {error}; its names are {}", names.join(", ")),
                fix,
            ));
        }
    }
    let left = not_after - now_seconds;
    (left < SOON.min((not_after - not_before) / LAST_PART)).then(|| {
        Finding::warning(
            format!("the certificate of the {component} expires soon"),
            format!("{name} is good until {}", date(not_after)),
            fix,
        )
    })
}
