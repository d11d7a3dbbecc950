//! Tokens to call a cache with: real ones, from the API server, and ones that the test signs with the API server's own key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};

use crate::environment;
use crate::wait::until;

/// The audience of tokens that may read one RuleSet.
#[must_use]
pub fn audience(namespace: &str, ruleset: &str) -> String {
    format!("coraza-cache:{namespace}/{ruleset}")
}

/// A token of a ServiceAccount, as `kubectl create token --audience` gets it; makes the ServiceAccount if there is none.
///
/// # Panics
/// If the API server refuses.
pub async fn request(client: &Client, namespace: &str, account: &str, audience: &str) -> String {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let wanted = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(account.to_owned()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    match api.create(&PostParams::default(), &wanted).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => panic!("failed to create ServiceAccount {account}: {error}"),
    }
    let spec = TokenRequestSpec {
        audiences: vec![audience.to_owned()],
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest {
        spec,
        ..TokenRequest::default()
    };
    let answer = until("a token", async || {
        let answer = api
            .create_token_request(account, &PostParams::default(), &request)
            .await;
        answer.map_err(|error| error.to_string())
    });
    answer.await.status.expect("a granted request has a status").token
}

/// The claims of a token, unverified.
///
/// # Panics
/// If it is no JWT.
#[must_use]
pub fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("a JWT has three parts");
    let json = URL_SAFE_NO_PAD.decode(part).expect("a JWT's claims are base64");
    serde_json::from_slice(&json).expect("a JWT's claims are JSON")
}

/// Signs claims as the API server does: with its key, under the key id that its own tokens carry.
///
/// # Panics
/// If the key can't be read.
#[must_use]
pub fn sign(genuine: &str, claims: &Value) -> String {
    let header = genuine.split('.').next().expect("a JWT has a header");
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let path = &environment().cluster.service_account_key;
    let pem =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()));
    let key = KeyPair::from_pem_and_sign_algo(&pem, &rcgen::PKCS_RSA_SHA256).expect("an RSA key");
    let signature = key.sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token that was good until `seconds` ago, and has a true signature.
#[must_use]
pub fn expired(genuine: &str, seconds: u64) -> String {
    let mut changed = claims(genuine);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let lifetime = 600;
    changed["exp"] = json!(now.saturating_sub(seconds));
    changed["iat"] = json!(now.saturating_sub(seconds + lifetime));
    changed["nbf"] = changed["iat"].clone();
    sign(genuine, &changed)
}

/// The same claims under a signature of other bytes.
///
/// # Panics
/// If it is no JSON Web Token.
#[must_use]
pub fn forged(genuine: &str) -> String {
    let (signed, signature) = genuine.rsplit_once('.').expect("a token has a signature");
    // Not the last character alone: some of its bits mean nothing.
    let swapped: String = signature.chars().rev().collect();
    format!("{signed}.{swapped}")
}
