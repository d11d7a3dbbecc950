//! Whether a link runs a script. No IO.

/// The starts of such links. JAVA is that of `javascript:` too.
const SCHEMES: [&[u8]; 4] = [b"DATA", b"VIEW-SOURCE", b"JAVA", b"VBSCRIPT"];

/// The largest number that an entity may have for libinjection.
const MAX_ENTITY: u32 = 0x10_00ff;

/// Whether the value of an attribute is a link that runs a script, perhaps with its characters written as entities.
pub(super) fn runs_script(value: &[u8]) -> bool {
    let start = value
        .iter()
        .take_while(|byte| matches!(byte, 0..=b' ' | 0x7f..))
        .count();
    let link = value.get(start..).unwrap_or_default();
    SCHEMES.iter().any(|scheme| decodes_to_prefix(link, scheme))
}

/// Whether the text begins with `prefix`, in any case, when its entities are decoded, NULs and newlines skipped, and control
/// characters at its start too.
fn decodes_to_prefix(text: &[u8], prefix: &[u8]) -> bool {
    let mut expected = prefix;
    let mut rest = text;
    let mut started = false;
    while let [next, expected_after @ ..] = expected {
        let Some((character, after)) = decode(rest) else {
            return false;
        };
        rest = after;
        if character <= u32::from(b' ') && !started {
            continue;
        }
        started = true;
        match character {
            0 | 0x0a => continue,
            // Compared as C's `char`: the low byte, of which only true letters are made upper case.
            0x61..=0x7a if character - 0x20 == u32::from(*next) => {}
            0x61..=0x7a => return false,
            _ if character & 0xff == u32::from(*next) => {}
            _ => return false,
        }
        expected = expected_after;
    }
    true
}

/// The character that the text begins with, and what follows it. An entity that is none is its ampersand.
fn decode(text: &[u8]) -> Option<(u32, &[u8])> {
    let (first, after) = text.split_first()?;
    let number = match text {
        [b'&', b'#', b'x' | b'X', digits @ ..] => entity(digits, 16),
        [b'&', b'#', digits @ ..] => entity(digits, 10),
        _ => None,
    };
    Some(number.unwrap_or((u32::from(*first), after)))
}

fn entity(text: &[u8], radix: u32) -> Option<(u32, &[u8])> {
    let digit = |byte: &u8| char::from(*byte).to_digit(radix);
    let mut value = digit(text.first()?)?;
    let mut len = 1;
    while let Some(digit) = text.get(len).and_then(digit) {
        value = value * radix + digit;
        len += 1;
        if value > MAX_ENTITY {
            return None;
        }
    }
    let rest = text.get(len..).unwrap_or_default();
    Some((value, rest.strip_prefix(b";").unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_in_links() {
        for (value, expected) in [
            (b"javascript:alert(1)" as &[u8], true),
            (b"JAVA", true),
            (b"jav", false),
            (b"  \xa0\tjava", true),
            (b"j\0a\nva", true),
            (b"j\tava", false),
            (b"&#106;&#x61va", true),
            (b"&#1j;ava", false),
            (b"&#x0006a;ava", true),
            (b"&#x10010a;ava", false),
            (b"&#32;&#0;java", true),
            (b"&#x14a;AVA", true),
            (b"view-source:x", true),
            (b"vbscript:x", true),
            (b"data:x", true),
            (b"https://a.b/java", false),
            (b"", false),
            (b"&#", false),
            (b"&#x", false),
        ] {
            assert_eq!(runs_script(value), expected, "{}", value.escape_ascii());
        }
    }
}
