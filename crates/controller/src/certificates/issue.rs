//! Makes keys and certificates. Pure, but for keys, which are random.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use super::content::{Certificate, Pair};

/// How long before it was made a certificate is good: clocks of nodes differ.
const BACKDATED: Duration = Duration::from_secs(300);

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The library refused.
    #[error("failed to make a certificate")]
    Make(#[from] rcgen::Error),
    /// What it made can't be read: a fault of ours.
    #[error("failed to read a certificate that was just made")]
    Unreadable,
}

/// A CA that is good for `life`. Each has a name of its own, so that verifiers who look for one by name find it.
///
/// # Errors
/// [`IssueError`].
pub fn authority(life: Duration, now: Timestamp) -> Result<Pair, IssueError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    name(&mut params, format!("coraza CA of {second}"));
    limit(&mut params, now, now.saturating_add(life).unwrap_or(Timestamp::MAX));
    // It signs peers, and no other CA.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    pair(certificate, &key)
}

/// A certificate for these DNS names, for both ends of a connection. It is good until `not_after`, and no longer than its signer.
///
/// # Errors
/// [`IssueError`].
pub fn leaf(signer: &Pair, names: &[String], not_after: Timestamp, now: Timestamp) -> Result<Pair, IssueError> {
    let issuer = Issuer::from_ca_cert_der(signer.certificate.der(), KeyPair::from_pem(signer.key())?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    name(&mut params, names.first().cloned().unwrap_or_default());
    limit(&mut params, now, not_after.min(signer.certificate.not_after));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer)?;
    pair(certificate, &key)
}

/// When a certificate by [`authority`] or [`leaf`] was made. Its life is counted from here: one of a few minutes would otherwise be over before it began.
#[must_use]
pub fn made_at(certificate: &Certificate) -> Timestamp {
    let made = certificate
        .not_before
        .saturating_add(BACKDATED)
        .unwrap_or(Timestamp::MAX);
    made.min(certificate.not_after)
}

/// Sets from when to when it is good, in whole seconds, as certificates have them.
fn limit(params: &mut CertificateParams, now: Timestamp, not_after: Timestamp) {
    // The type of these times is of a crate that rcgen doesn't re-export.
    let epoch = date_time_ymd(1970, 1, 1);
    let since = |time: Timestamp| Duration::from_secs(u64::try_from(time.as_second()).unwrap_or_default());
    params.not_before = epoch + since(now).saturating_sub(BACKDATED);
    params.not_after = epoch + since(not_after);
}

fn name(params: &mut CertificateParams, name: String) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
}

fn pair(certificate: rcgen::Certificate, key: &KeyPair) -> Result<Pair, IssueError> {
    let certificate = Certificate::read(certificate.into()).ok_or(IssueError::Unreadable)?;
    Ok(Pair::new(certificate, key.serialize_pem()))
}
