//! Certificates, and the CA.

use super::*;

#[test]
fn certificates_that_peers_do_not_accept_are_found() {
    each_is_found(&[
        (
            "Certificates",
            PROBLEM,
            "the Secret with the certificate of the cache does not exist",
            |facts| operator(facts).certificates[1].files = Ok(None),
        ),
        (
            "Certificates",
            PROBLEM,
            "has no certificate that the cache can use | tls.crt has nothing in it",
            |facts| operator(facts).certificates[1].files = Ok(Some(Files::new())),
        ),
        (
            "Certificates",
            PROBLEM,
            "has expired: connections that are made anew fail | Secret coraza-system/controller-tls was good until 2026-06-01T11:59:50Z",
            |facts| {
                operator(facts).certificates[0].files = Ok(Some(files("coraza-controller", -10)));
            },
        ),
        ("Certificates", PROBLEM, "is not one that its peers accept", |facts| {
            operator(facts).certificates[0].files = Ok(Some(files("example.com", 90 * DAY)));
        }),
        (
            "Certificates",
            PROBLEM,
            "tls.crt is not good for coraza-cache by ca.crt",
            |facts| {
                let other = files("coraza-cache", 90 * DAY)["ca.crt"].clone();
                let files = operator(facts).certificates[1]
                    .files
                    .as_mut()
                    .unwrap()
                    .as_mut()
                    .unwrap();
                files.insert("ca.crt".to_owned(), other);
            },
        ),
        ("Certificates", PROBLEM, "tls.key is not the key of tls.crt", |facts| {
            let other = files("coraza-cache", 90 * DAY)["tls.key"].clone();
            let files = operator(facts).certificates[1]
                .files
                .as_mut()
                .unwrap()
                .as_mut()
                .unwrap();
            files.insert("tls.key".to_owned(), other);
        }),
        ("Certificates", PROBLEM, "tls.crt has nothing in it", |facts| {
            let files = operator(facts).certificates[1]
                .files
                .as_mut()
                .unwrap()
                .as_mut()
                .unwrap();
            files.insert("tls.crt".to_owned(), b"no PEM".to_vec());
        }),
        ("Certificates", WARNING, "expires soon", |facts| {
            let ca = Ca::good_for(1000 * DAY);
            replace_all(facts, &ca);
            operator(facts).certificates[0].files = Ok(Some(ca.files("coraza-controller", 3600)));
        }),
        (
            "Certificates",
            UNCHECKED,
            "Secret coraza-system/cache-tls can't be read",
            |facts| operator(facts).certificates[1].files = forbidden(),
        ),
    ]);
}

fn authority(facts: &mut Facts) -> &mut Files {
    let authority = operator(facts).authority.as_mut().unwrap();
    authority.files.as_mut().unwrap().as_mut().unwrap()
}

/// As somebody made it who took another CA for all of them.
fn replace_all(facts: &mut Facts, ca: &Ca) {
    *authority(facts) = ca.own_files();
    for secret in &mut operator(facts).certificates {
        secret.files = Ok(Some(ca.files(&format!("coraza-{}", secret.component), 90 * DAY)));
    }
}

#[test]
fn an_own_ca_that_does_not_sign_or_did_not_is_found() {
    const CHECK: &str = "Certificate authority";
    each_is_found(&[
        (
            CHECK,
            PROBLEM,
            "the Secret of the controller's own CA does not exist: no certificate is renewed | there is no Secret coraza-system/self-signed-ca",
            |facts| operator(facts).authority.as_mut().unwrap().files = Ok(None),
        ),
        (
            CHECK,
            PROBLEM,
            "the controller's own CA can't be used: no certificate is made or renewed | Secret coraza-system/self-signed-ca: tls.crt has nothing in it",
            |facts| authority(facts).clear(),
        ),
        (CHECK, PROBLEM, "tls.key has nothing in it", |facts| {
            authority(facts).remove("tls.key");
        }),
        (CHECK, PROBLEM, "tls.key is not the key of tls.crt", |facts| {
            let other = Ca::good_for(DAY).own_files()["tls.key"].clone();
            authority(facts).insert("tls.key".to_owned(), other);
        }),
        (
            CHECK,
            PROBLEM,
            "the controller's own CA has expired: certificates by it are not accepted | Secret coraza-system/self-signed-ca was good until 2026-06-01T11:59:50Z",
            |facts| *authority(facts) = Ca::good_for(-10).own_files(),
        ),
        (
            CHECK,
            WARNING,
            "the controller's own CA expires soon, and has no successor",
            |facts| replace_all(facts, &Ca::good_for(3600)),
        ),
        (
            CHECK,
            PROBLEM,
            "the certificate of the cache is not by the controller's own CA: who trusts that does not accept it | Secret coraza-system/cache-tls against ca.crt of Secret coraza-system/self-signed-ca: tls.crt is not good for coraza-cache by ca.crt",
            |facts| operator(facts).certificates[1].files = Ok(Some(files("coraza-cache", 90 * DAY))),
        ),
        (
            CHECK,
            UNCHECKED,
            "Secret coraza-system/self-signed-ca can't be read",
            |facts| operator(facts).authority.as_mut().unwrap().files = forbidden(),
        ),
    ]);
}

#[test]
fn a_ca_that_is_being_succeeded_is_well() {
    // Lost, and its successor is made known first; and soon at its end, with one.
    let changes: [fn(&mut Facts); 3] = [
        |facts| {
            let successor = Ca::good_for(1000 * DAY).own_files();
            let files = authority(facts);
            files.remove("tls.crt");
            files.remove("tls.key");
            files.insert("next.crt".to_owned(), successor["tls.crt"].clone());
        },
        |facts| {
            replace_all(facts, &Ca::good_for(3600));
            let successor = Ca::good_for(1000 * DAY).own_files();
            authority(facts).insert("next.crt".to_owned(), successor["tls.crt"].clone());
        },
        // The successor signs; who has a certificate by its predecessor is trusted until that ends.
        |facts| {
            let before = authority(facts)["ca.crt"].clone();
            *authority(facts) = Ca::good_for(1000 * DAY).own_files();
            authority(facts).get_mut("ca.crt").unwrap().extend(before);
        },
    ];
    for change in changes {
        let mut facts = healthy();
        change(&mut facts);
        assert_eq!(findings(&facts), []);
    }
}

#[test]
fn certificates_that_are_not_the_controllers_have_no_ca_here() {
    let mut facts = healthy();
    operator(&mut facts).authority = None;
    operator(&mut facts).certificates[1].files = Ok(Some(files("coraza-cache", 90 * DAY)));
    assert_eq!(findings(&facts), []);
}
