//! `detectXSS`: whether a value, put into a page, would run a script. Pure.
//!
//! A value is read as HTML five times: as text, after an attribute without quotes, and in an attribute with each kind of quotes.

mod attribute;
mod html5;
mod link;

#[cfg(test)]
mod tests;

use attribute::Danger;
use html5::{Kind, Start, Tokenizer};

/// Whether `value` is an attack. The work is linear in its length, nothing is allocated.
pub fn detect(value: &[u8]) -> bool {
    // Each attack needs a tag or the value of an attribute.
    if memchr::memchr2(b'<', b'=', value).is_none() {
        return false;
    }
    let holds = |byte: u8| memchr::memchr(byte, value).is_some();
    // Before its quote a value is the value of no attribute.
    (holds(b'<') && is_attack(value, Start::Text))
        || is_attack(value, Start::Attribute)
        || [b'\'', b'"', b'`']
            .into_iter()
            .any(|quote| holds(quote) && is_attack(value, Start::Quoted(quote)))
}

fn is_attack(value: &[u8], start: Start) -> bool {
    let mut tokenizer = Tokenizer::new(value, start);
    // What the next token can do if it is the value of an attribute.
    let mut danger = None;
    while let Some(token) = tokenizer.next() {
        let danger_here = std::mem::take(&mut danger);
        let attack = match token.kind {
            Kind::Doctype => true,
            Kind::TagOpen => attribute::is_dangerous_tag(token.text),
            Kind::AttributeName => {
                danger = attribute::danger(token.text);
                false
            }
            Kind::AttributeValue => match danger_here {
                None => false,
                Some(Danger::Always | Danger::Style) => true,
                Some(Danger::Link) => link::runs_script(token.text),
                Some(Danger::Name) => attribute::danger(token.text).is_some(),
            },
            Kind::Comment => is_conditional(token.text),
            Kind::Text | Kind::TagOpenEnd | Kind::SelfClosingEnd | Kind::TagClose => false,
        };
        if attack {
            return true;
        }
    }
    false
}

/// Whether a browser may read on inside of a comment.
fn is_conditional(comment: &[u8]) -> bool {
    let begins = |start: &[u8]| {
        comment
            .get(..start.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(start))
    };
    // Internet Explorer ends a tag at a backtick.
    memchr::memchr(b'`', comment).is_some()
        || comment.len() > 3 && (begins(b"[IF") || begins(b"XML"))
        || comment.len() > 5 && (begins(b"IMPORT") || begins(b"ENTITY"))
}
