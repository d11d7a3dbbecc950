//! Keys, certificates and kubeconfigs of a cluster that lives for minutes and listens on loopback, or on a network that nothing leads out of.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::{network, nodes};

/// The user names that `deploy/rbac` gives rights to: ServiceAccounts, here with certificates instead of tokens.
const CONTROLLER: &str = "system:serviceaccount:coraza-system:coraza-controller";
const CACHE: &str = "system:serviceaccount:coraza-system:coraza-cache";

/// Where the files are.
pub(crate) struct Pki {
    dir: PathBuf,
    server: String,
}

/// Who a client certificate is for.
struct User<'a> {
    file: &'a str,
    name: &'a str,
    group: &'a str,
}

impl Pki {
    /// Makes all of it for an API server at `server`, and for these nodes, if there are any.
    pub(crate) fn create(dir: &Path, server: &str, nodes: &[nodes::Name]) -> Result<Self> {
        let pki = Self {
            dir: dir.to_owned(),
            server: server.to_owned(),
        };
        let authority = authority()?;
        pki.write("ca.crt", &authority.pem())?;
        pki.issue_server(&authority)?;
        for user in [
            User {
                file: "admin",
                name: "admin",
                group: "system:masters",
            },
            User {
                file: "controller-manager",
                name: "system:kube-controller-manager",
                group: "system:authenticated",
            },
            User {
                file: "coraza-controller",
                name: CONTROLLER,
                group: "system:serviceaccounts",
            },
            User {
                file: "coraza-cache",
                name: CACHE,
                group: "system:serviceaccounts",
            },
        ] {
            pki.issue_client(&authority, &user)?;
        }
        if !nodes.is_empty() {
            pki.issue_for_nodes(&authority, nodes)?;
        }
        // RSA, since its signatures are in a JWT as they are made; those of ECDSA would have to be taken apart.
        let service_accounts = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)?;
        pki.write("service-accounts.key", &service_accounts.serialize_pem())?;
        Ok(pki)
    }

    /// A file of this name.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// The kubeconfig of a user: `admin`, `controller-manager`, `coraza-controller` or `coraza-cache`.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        Self::kubeconfig_in(&self.dir, user)
    }

    /// The same, of a cluster that somebody else has made in a folder.
    pub(crate) fn kubeconfig_in(dir: &Path, user: &str) -> PathBuf {
        dir.join(format!("{user}.kubeconfig"))
    }

    /// What a cluster with kubelets has besides. Nodes call the API server where Pods do.
    fn issue_for_nodes(&self, authority: &CertifiedIssuer<'_, KeyPair>, nodes: &[nodes::Name]) -> Result<()> {
        let user = |file: &str, name: &str, group: &str| self.issue_client(authority, &User { file, name, group });
        user("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")?;
        user("kube-scheduler", "system:kube-scheduler", "system:authenticated")?;
        let on_nodes = Self {
            dir: self.dir.clone(),
            server: format!("https://{}", network::NODE),
        };
        let user = |file: &str, name: &str, group: &str| on_nodes.issue_client(authority, &User { file, name, group });
        user("kube-proxy", "system:kube-proxy", "system:authenticated")?;
        for node in nodes {
            let kubelet = format!("system:node:{}", node.text());
            user(node.text(), &kubelet, "system:nodes")?;
            let names = vec![node.text().to_owned(), node.address().to_string()];
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name.push(DnType::CommonName, node.text());
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            self.issue(authority, &format!("{}-serving", node.text()), params)?;
        }
        Ok(())
    }

    fn issue_server(&self, authority: &CertifiedIssuer<'_, KeyPair>) -> Result<()> {
        let addresses = [Ipv4Addr::LOCALHOST, network::KUBERNETES, network::NODE].map(|address| address.to_string());
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
        ];
        let names = addresses.into_iter().chain(names.map(str::to_owned));
        let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(authority, "apiserver", params)
    }

    fn issue_client(&self, authority: &CertifiedIssuer<'_, KeyPair>, user: &User<'_>) -> Result<()> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user.name);
        params.distinguished_name.push(DnType::OrganizationName, user.group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(authority, user.file, params)?;
        self.write(&format!("{}.kubeconfig", user.file), &self.kubeconfig_text(user.file))
    }

    fn issue(&self, authority: &CertifiedIssuer<'_, KeyPair>, file: &str, mut params: CertificateParams) -> Result<()> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params
            .signed_by(&key, authority)
            .with_context(|| format!("failed to sign the certificate of {file}"))?;
        self.write(&format!("{file}.crt"), &certificate.pem())?;
        self.write(&format!("{file}.key"), &key.serialize_pem())
    }

    /// A kubeconfig in JSON, which is YAML too.
    fn kubeconfig_text(&self, user: &str) -> String {
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "xtask", "cluster": {"server": self.server, "certificate-authority": self.path("ca.crt")}}],
            "users": [{"name": user, "user": {"client-certificate": self.path(&format!("{user}.crt")), "client-key": self.path(&format!("{user}.key"))}}],
            "contexts": [{"name": "xtask", "context": {"cluster": "xtask", "user": user}}],
            "current-context": "xtask",
        });
        format!("{config:#}\n")
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path(file);
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.with_context(|| format!("failed to create {}", path.display()))?;
        std::io::Write::write_all(&mut file, text.as_bytes())
            .with_context(|| format!("failed to write {}", path.display()))
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "cargo xtask cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}
