//! `BearerToken`: the token of a request, taken from its header. Pure.

use std::fmt;

use coraza_ruleset::TokenDigest;
use http::{HeaderMap, header};

use super::Refusal;

/// The longest token that is looked at: ServiceAccount tokens have about 1 KiB, with many audiences a few.
const MAX_LENGTH: usize = 16 << 10;

/// A bearer token and its digest. It is never shown.
#[derive(Clone, Copy)]
pub struct BearerToken<'a> {
    text: &'a str,
    digest: TokenDigest,
}

impl<'a> BearerToken<'a> {
    /// The token of a request with these headers.
    ///
    /// # Errors
    /// [`Refusal::Missing`] or [`Refusal::Malformed`].
    pub fn of(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or(Refusal::Missing)?;
        if values.next().is_some() {
            return Err(Refusal::Malformed);
        }
        let (scheme, text) = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .ok_or(Refusal::Malformed)?;
        let text = text.trim_matches(' ');
        let is_token = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !scheme.eq_ignore_ascii_case("bearer") || !is_token {
            return Err(Refusal::Malformed);
        }
        Ok(Self::new(text))
    }

    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            digest: TokenDigest::of(text.as_bytes()),
        }
    }

    /// The token itself: for the API server and for nobody else.
    #[must_use]
    pub const fn secret(&self) -> &'a str {
        self.text
    }

    /// What the token is remembered by.
    #[must_use]
    pub const fn digest(&self) -> TokenDigest {
        self.digest
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn tokens_are_found_and_others_refused() {
        let long = format!("Bearer {}", "a".repeat(MAX_LENGTH + 1));
        for (values, expected) in [
            (&["Bearer a.b.c"][..], Ok("a.b.c")),
            (&["bEARER  a.b.c "], Ok("a.b.c")),
            (&[], Err(Refusal::Missing)),
            (&[""], Err(Refusal::Malformed)),
            (&["Bearer"], Err(Refusal::Malformed)),
            (&["Bearer "], Err(Refusal::Malformed)),
            (&["Bearer a b"], Err(Refusal::Malformed)),
            (&["Bearer \u{e9}"], Err(Refusal::Malformed)),
            (&["Basic a.b.c"], Err(Refusal::Malformed)),
            (&["Bearer a.b.c", "Bearer a.b.c"], Err(Refusal::Malformed)),
            (&[&long], Err(Refusal::Malformed)),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(
                    header::AUTHORIZATION,
                    HeaderValue::from_bytes(value.as_bytes()).expect("value"),
                );
            }
            assert_eq!(
                BearerToken::of(&headers).map(|token| token.secret()),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        assert!(!format!("{:?}", BearerToken::new("secret")).contains("secret"));
    }
}
