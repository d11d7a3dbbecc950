//! The certificates that the chart would make: an authority, and a folder with tls.crt, tls.key and ca.crt for each of the two identities.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// The names that both ends verify: peers connect by address, so their certificates say what they are instead of where.
pub(super) const IDENTITIES: [&str; 2] = ["coraza-controller", "coraza-cache"];

/// Writes `{dir}/{identity}/{tls.crt,tls.key,ca.crt}`.
pub(crate) fn create(dir: &Path) -> Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "cargo xtask demo");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    for identity in IDENTITIES {
        let folder = dir.join(identity);
        fs::create_dir_all(&folder)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![identity.to_owned()])?.signed_by(&key, &authority)?;
        fs::write(folder.join("tls.crt"), certificate.pem())?;
        fs::write(folder.join("tls.key"), key.serialize_pem())?;
        fs::write(folder.join("ca.crt"), authority.pem())?;
    }
    Ok(())
}
