//! Names of tags and attributes that run scripts, or may. No IO.

include!(concat!(env!("OUT_DIR"), "/html_events.rs"));

/// What the value of an attribute can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Danger {
    /// Run a script: the attribute alone is an attack.
    Always,
    /// Style, in which old browsers run scripts.
    Style,
    /// Link to a script.
    Link,
    /// Name another attribute.
    Name,
}

/// Other attributes than events, in upper case.
const ATTRIBUTES: [(&[u8], Danger); 20] = [
    (b"ACTION", Danger::Link),
    (b"ATTRIBUTENAME", Danger::Name),
    (b"BACKGROUND", Danger::Link),
    (b"BY", Danger::Link),
    (b"DATAFORMATAS", Danger::Always),
    (b"DATASRC", Danger::Always),
    (b"DYNSRC", Danger::Link),
    (b"FILTER", Danger::Style),
    (b"FOLDER", Danger::Link),
    (b"FORMACTION", Danger::Link),
    (b"FROM", Danger::Link),
    (b"HANDLER", Danger::Link),
    (b"HREF", Danger::Link),
    (b"LOWSRC", Danger::Link),
    (b"POSTER", Danger::Link),
    (b"SRC", Danger::Link),
    (b"STYLE", Danger::Style),
    (b"TO", Danger::Link),
    (b"VALUES", Danger::Link),
    (b"XLINK:HREF", Danger::Link),
];

const TAGS: [&[u8]; 20] = [
    b"APPLET",
    b"BASE",
    b"COMMENT",
    b"EMBED",
    b"FRAME",
    b"FRAMESET",
    b"HANDLER",
    b"IFRAME",
    b"IMPORT",
    b"ISINDEX",
    b"LINK",
    b"LISTENER",
    b"META",
    b"NOSCRIPT",
    b"OBJECT",
    b"SCRIPT",
    b"STYLE",
    b"VMLFRAME",
    b"XML",
    b"XSS",
];

/// Whether a tag of this name is an attack.
pub(super) fn is_dangerous_tag(name: &[u8]) -> bool {
    let prefix = |prefix: &[u8]| name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    // All of SVG and XSL.
    name.len() >= 3 && (TAGS.iter().any(|tag| is_without_nuls(name, tag)) || prefix(b"SVG") || prefix(b"XSL"))
}

/// What an attribute of this name can do.
pub(super) fn danger(name: &[u8]) -> Option<Danger> {
    if name.len() < 2 {
        return None;
    }
    // XMLNS and XLINK make any tag.
    let prefix = |prefix: &[u8]| name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if name.len() >= 5 && (is_event(name) || prefix(b"XMLNS") || prefix(b"XLINK")) {
        return Some(Danger::Always);
    }
    let known = ATTRIBUTES.iter().find(|(known, _)| is_without_nuls(name, known));
    known.map(|(_, danger)| *danger)
}

/// Whether the name is `on` and then begins with that of an event.
fn is_event(name: &[u8]) -> bool {
    let [b'o' | b'O', b'n' | b'N', event @ ..] = name else {
        return false;
    };
    // No event begins with another, so that the only candidate is the last that sorts before the name.
    let after = EVENTS.partition_point(|known| {
        known
            .bytes()
            .le(event.iter().take(known.len()).map(u8::to_ascii_uppercase))
    });
    let candidate = after.checked_sub(1).and_then(|at| EVENTS.get(at));
    candidate.is_some_and(|known| {
        event
            .get(..known.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// Whether `name` is `known`, in any case, but for NULs.
fn is_without_nuls(name: &[u8], known: &[u8]) -> bool {
    name.len() >= known.len()
        && name
            .iter()
            .filter(|byte| **byte != 0)
            .map(u8::to_ascii_uppercase)
            .eq(known.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_known_by_prefix() {
        for (name, expected) in [
            ("onload", true),
            ("ONLOADX", true),
            ("onscrollend", true),
            ("onwrite", true),
            ("onwritten", false),
            ("onaaaa", false),
            ("onzzzz", false),
            ("onloa", false),
            ("on", false),
        ] {
            assert_eq!(danger(name.as_bytes()) == Some(Danger::Always), expected, "{name}");
        }
    }

    #[test]
    fn every_event_is_found() {
        let names = include_str!("events.txt").lines();
        let found = names.clone().filter(|name| is_event(format!("on{name}").as_bytes()));
        assert_eq!((names.count(), found.count()), (413, 413));
    }

    #[test]
    fn attributes_and_tags_are_known_but_for_nuls() {
        for (name, expected) in [
            (b"href" as &[u8], Some(Danger::Link)),
            (b"h\0ref", Some(Danger::Link)),
            (b"hre", None),
            (b"hrefs", None),
            (b"xmlns:x", Some(Danger::Always)),
            (b"xmlnsx", Some(Danger::Always)),
            (b"by", Some(Danger::Link)),
            (b"attributename", Some(Danger::Name)),
            (b"filter", Some(Danger::Style)),
            (b"on\0load", None),
            (b"", None),
        ] {
            assert_eq!(danger(name), expected, "{}", name.escape_ascii());
        }
        for (name, expected) in [
            (b"script" as &[u8], true),
            (b"s\0cript", true),
            (b"svgx", true),
            (b"scripts", false),
            (b"b", false),
        ] {
            assert_eq!(is_dangerous_tag(name), expected, "{}", name.escape_ascii());
        }
    }
}
