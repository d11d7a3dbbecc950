//! Which token an Engine goes on with, and when it gets another.

use super::*;
use crate::engine::settings::{RenewAfter, subject};
use serde_json::json;

const HOUR: u64 = 3600;

/// A token that the API server might issue, at a second of the wall clock.
pub(crate) fn token(ruleset: &str, issued: i64, life: i64) -> Token {
    token_of(&subject("coraza-system"), ruleset, issued, life)
}

fn token_of(subject: &str, ruleset: &str, issued: i64, life: i64) -> Token {
    let claims =
        json!({"sub": subject, "aud": [format!("coraza-cache:{ruleset}")], "iat": issued, "exp": issued + life});
    Token::parse(&format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))).expect("a token")
}

fn settings() -> TokenSettings {
    TokenSettings {
        subject: subject("coraza-system"),
        lifetime: Duration::from_secs(HOUR),
        renew_after: RenewAfter::Share(0.8),
    }
}

/// A second of the wall clock and of the monotonic one.
fn at(wall: i64, monotonic: u64) -> Now {
    Now {
        wall: Time::from_second(wall).expect("a time"),
        monotonic: Duration::from_secs(monotonic),
    }
}

fn engine() -> ObjectKey {
    ObjectKey::new("shop", "waf")
}

fn ruleset(text: &str) -> RuleSetKey {
    text.parse().expect("a key")
}

struct Fixture(Tokens);

impl Fixture {
    fn choose(&mut self, uid: &str, key: &str, live: Option<&Token>, now: Now) -> Choice {
        self.0
            .choose((&engine(), uid), &ruleset(key), live.cloned(), &settings(), now)
    }

    fn renewed(&mut self, uid: &str, key: &str, token: &Token, now: Now) {
        self.0.renewed((&engine(), uid), &ruleset(key), token, now);
    }
}

fn kept(choice: &Choice) -> &Token {
    match choice {
        Choice::Keep(token, _) => token,
        Choice::Renew(_) => panic!("{choice:?}"),
    }
}

#[test]
fn a_text_that_is_no_token_is_none() {
    let claims = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
    for text in [
        "",
        "abc",
        "a.b.c",
        &claims("{}"),
        &claims(r#"{"sub": "s", "aud": 1, "iat": 1, "exp": 2}"#),
    ] {
        assert_eq!(Token::parse(text), None, "{text}");
    }
    let one = claims(r#"{"sub": "s", "aud": "a", "iat": 1, "exp": 3}"#);
    let token = Token::parse(&one).expect("one audience is a text");
    assert_eq!((token.secret(), token.life()), (&*one, Duration::from_secs(2)));
    assert!(!format!("{token:?}").contains(&one), "no log has a secret");
}

#[test]
fn the_token_of_the_wasm_plugin_is_gone_on_with_after_a_restart() {
    let mut tokens = Fixture(Tokens::default());
    let live = token("shop/crs", 1000, 3600);
    let choice = tokens.choose("u", "shop/crs", Some(&live), at(2000, 0));
    // 80 % of the hour that it was granted; looked at every five minutes, for clocks may step.
    assert_eq!(choice, Choice::Keep(live.clone(), MAX_WAIT));
    let choice = tokens.choose("u", "shop/crs", Some(&live), at(3800, 1800));
    assert_eq!(choice, Choice::Keep(live.clone(), Duration::from_secs(80)));
    assert_eq!(
        tokens.choose("u", "shop/crs", Some(&live), at(3880, 1880)),
        Choice::Renew(Some(live.clone()))
    );
    assert_eq!(
        tokens.choose("u", "shop/crs", Some(&live), at(4600, 2600)),
        Choice::Renew(None)
    );
}

#[test]
fn a_token_that_we_would_not_have_asked_for_is_replaced() {
    let fresh = |live: &Token| Fixture(Tokens::default()).choose("u", "shop/crs", Some(live), at(1000, 0));
    for live in [
        token("shop/other", 1000, 3600),
        token("shop/crs", 1000, 7200),
        token_of("system:serviceaccount:shop:coraza-engine-x7k2p", "shop/crs", 1000, 3600),
    ] {
        assert_eq!(fresh(&live), Choice::Renew(None), "{live:?}");
    }
    assert_eq!(
        Fixture(Tokens::default()).choose("u", "shop/crs", None, at(0, 0)),
        Choice::Renew(None)
    );
    let short = token("shop/crs", 1000, 100);
    assert_eq!(fresh(&short), Choice::Keep(short, Duration::from_secs(80)));
}

#[test]
fn a_token_that_somebody_wrote_into_the_wasm_plugin_changes_nothing() {
    let mut tokens = Fixture(Tokens::default());
    let ours = token("shop/crs", 1000, 3600);
    tokens.renewed("u", "shop/crs", &ours, at(1000, 0));
    let theirs = token("shop/crs", 1001, 3600);
    assert_eq!(
        kept(&tokens.choose("u", "shop/crs", Some(&theirs), at(1010, 10))),
        &ours
    );
    assert_eq!(kept(&tokens.choose("u", "shop/crs", None, at(1010, 10))), &ours);
}

#[test]
fn clocks_that_differ_or_step_renew_no_token_twice() {
    let mut tokens = Fixture(Tokens::default());
    // Our clock is a day ahead of the API server's: what it issues looks long expired.
    let ours = token("shop/crs", 1000, 3600);
    tokens.renewed("u", "shop/crs", &ours, at(87_400, 0));
    assert_eq!(kept(&tokens.choose("u", "shop/crs", None, at(87_401, 1))), &ours);
    // It is set back: the monotonic clock goes on.
    assert_eq!(kept(&tokens.choose("u", "shop/crs", None, at(1000, 2))), &ours);
    assert_eq!(
        tokens.choose("u", "shop/crs", None, at(1000, 2880)),
        Choice::Renew(Some(ours.clone()))
    );
    // It leaps ahead, as after a sleep that the monotonic clock didn't see: once, and no more.
    assert_eq!(
        tokens.choose("u", "shop/crs", None, at(187_400, 3)),
        Choice::Renew(None)
    );
    let next = token("shop/crs", 101_000, 3600);
    tokens.renewed("u", "shop/crs", &next, at(187_400, 4));
    assert_eq!(kept(&tokens.choose("u", "shop/crs", None, at(187_401, 5))), &next);
}

#[test]
fn another_ruleset_or_another_engine_of_the_name_takes_every_token_back() {
    let (first, second) = (token("shop/crs", 1000, 3600), token("shop/crs", 2000, 3600));
    let fixture = || {
        let mut tokens = Fixture(Tokens::default());
        tokens.renewed("u", "shop/crs", &first, at(1000, 0));
        tokens.renewed("u", "shop/crs", &second, at(2000, 1000));
        tokens.0
    };
    let both = [second.digest(), first.digest()];
    let same = ruleset("shop/crs");
    assert!(fixture().revoked(&engine(), Some(("u", &same))).is_empty());
    assert_eq!(fixture().revoked(&engine(), Some(("u2", &same))), both);
    assert_eq!(fixture().revoked(&engine(), Some(("u", &ruleset("shop/other")))), both);
    let mut gone = fixture();
    assert_eq!(gone.revoked(&engine(), None), both);
    assert!(gone.revoked(&engine(), None).is_empty(), "once");
}

#[test]
fn a_token_that_has_expired_needs_no_revocation() {
    let mut tokens = Fixture(Tokens::default());
    tokens.renewed("u", "shop/crs", &token("shop/crs", 1000, 100), at(1000, 0));
    let last = token("shop/crs", 1200, 100);
    tokens.renewed("u", "shop/crs", &last, at(1200, 200));
    assert_eq!(tokens.0.revoked(&engine(), None), [last.digest()]);
}

#[test]
fn a_standby_follows_what_the_leader_writes() {
    let mut tokens = Tokens::default();
    let key = ruleset("shop/crs");
    let (first, second) = (token("shop/crs", 1000, 3600), token("shop/crs", 2000, 3600));
    for live in [&first, &first, &second] {
        tokens.follow((&engine(), "u"), &key, live, at(2000, 0));
    }
    let mut tokens = Fixture(tokens);
    assert_eq!(
        kept(&tokens.choose("u", "shop/crs", Some(&second), at(2001, 1))),
        &second
    );
    assert_eq!(tokens.0.revoked(&engine(), None), [second.digest(), first.digest()]);
}

#[test]
fn a_grant_names_the_engine_and_ends_with_the_token() {
    let token = token("shop/crs", 1000, 3600);
    let grant = token.grant(&ruleset("shop/crs"), &engine(), "u-1").expect("a grant");
    assert_eq!((grant.token, grant.engine.uid()), (token.digest(), "u-1"));
    assert_eq!(grant.expires, Timestamp::from_unix_nanos(4_600_000_000_000));
}
