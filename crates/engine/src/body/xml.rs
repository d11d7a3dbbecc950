//! XML documents: their text (`XML:/*`) and the values of their attributes (`XML://@*`). No IO.
//!
//! Nothing outside of the document is read and no entity is expanded but the five that XML knows and characters by number: a reference
//! to another stays as it is, with an error, for the application may see something else there. So no document grows. What can be read of
//! a malformed document is given too.

mod text;
mod walker;

use super::{Found, Options, Outcome, Sink};
use walker::Walker;

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It ends too soon.
    #[error("the document ends too soon")]
    Truncated,
    /// There is text before or after the root element, or a second one.
    #[error("content outside of the root element")]
    OutsideOfRoot,
    /// A tag is not written as XML wants it, or stands where it can't.
    #[error("malformed tag")]
    MalformedTag,
    /// An end tag is not that of the open element.
    #[error("end tag of another element")]
    MismatchedEnd,
    /// A reference that is none of a predefined entity or a character. It stays as it is.
    #[error("reference that is not expanded")]
    UnknownReference,
    /// A control character, or a byte that is not UTF-8. It stays as it is.
    #[error("invalid character")]
    InvalidCharacter,
    /// It is written in an encoding whose text this parser can't read.
    #[error("unsupported encoding")]
    UnsupportedEncoding,
    /// Elements nest deeper than [`Options::xml_depth`].
    #[error("nested deeper than the limit")]
    TooDeep,
    /// There are more elements and attributes than [`Options::xml_nodes`].
    #[error("more elements and attributes than the limit")]
    TooManyNodes,
}

/// Reads a document.
pub fn parse(body: &[u8], options: &Options, sink: &mut Sink<'_>) -> Outcome {
    let mut walker = Walker::new(body, options, sink);
    let end = walker.document();
    let (text, first, work) = walker.finish();
    if let Some(text) = text {
        sink(Found::XmlText(&text));
    }
    Outcome {
        error: first.or(end.err()).map(super::BodyError::Xml),
        work,
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::collect;
    use super::*;

    fn check(options: &Options, body: &[u8], found: &[&str], error: Option<XmlError>) {
        let (actual, outcome) = collect(|sink| parse(body, options, sink));
        assert_eq!(actual, found, "{}", body.escape_ascii());
        assert_eq!(
            outcome.error,
            error.map(super::super::BodyError::Xml),
            "{}",
            body.escape_ascii()
        );
    }

    #[test]
    fn text_and_attributes_are_found() {
        let cases: [(&[u8], &[&str]); 19] = [
            (b"<a x=\"1\">t<b>u</b>v</a>", &["attribute 1", "text tuv"]),
            (
                b"<a x = '1\"2' y=\"3\"><c z='4'/></a>",
                &["attribute 1\\\"2", "attribute 3", "attribute 4", "text "],
            ),
            (b"<a><!-- <b> --><![CDATA[<x>&amp;]]>z</a>", &["text <x>&amp;z"]),
            (
                b"<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&#xe9;</a>",
                &[r#"text <>&\"\'AB\xc3\xa9"#],
            ),
            (b"<a x='&lt;&#10;'/>", &[r"attribute <\n", "text "]),
            (b"<a>\n <b> p </b>\n</a>\n", &[r"text \n  p \n"]),
            (b"<?xml version='1.0'?><?pi <a> ?><a/>", &["text "]),
            (b"  <a/>", &["text "]),
            (b"\xef\xbb\xbf<a>b</a >", &["text b"]),
            (
                b"<a:b xmlns:a='urn:x' xmlns=\"y\" a:c='d'>q</a:b>",
                &["attribute d", "text q"],
            ),
            (b"<!DOCTYPE a><a>b</a>", &["text b"]),
            (b"<!DOCTYPE a [<!ENTITY e \">]>\"><!-- ' ]> -->]><a>b</a>", &["text b"]),
            (b"<!DOCTYPE a PUBLIC \"-//X//>\" 'y'><a>b</a>", &["text b"]),
            (
                b"<?xml version='1.0' encoding=\"UTF-8\"?><a>\xc3\xa9</a>",
                &[r"text \xc3\xa9"],
            ),
            (
                b"<?xml version='1.0' encoding='iso-8859-1'?><a>\xe9</a>",
                &[r"text \xe9"],
            ),
            (b"<a\n\tb='c'\r\n/>", &["attribute c", "text "]),
            (b"<a>b\r\nc\rd\n\r&#13;\r&lt;</a>", &[r"text b\nc\nd\n\n\r\n<"]),
            (b"<a><![CDATA[b\r\nc\r]]></a>", &[r"text b\nc\n"]),
            (
                b"<a b='c\r\nd\re\nf\tg&#10;&#9;\r'/>",
                &[r"attribute c d e f g\n\t ", "text "],
            ),
        ];
        for (body, found) in cases {
            check(&Options::default(), body, found, None);
        }
    }

    #[test]
    fn what_can_be_read_of_a_malformed_document_is_kept() {
        let cases: [(&[u8], &[&str], XmlError); 27] = [
            (b"", &[], XmlError::Truncated),
            (b"<", &[], XmlError::Truncated),
            (b"<a", &["text "], XmlError::Truncated),
            (b"<a>b", &["text b"], XmlError::Truncated),
            (b"<a x='b", &["attribute b", "text "], XmlError::Truncated),
            (b"<a><![CDATA[b", &["text b"], XmlError::Truncated),
            (b"<a><!-- b", &["text "], XmlError::Truncated),
            (b"<!DOCTYPE a [", &[], XmlError::Truncated),
            (b"<a>x</b>", &["text x"], XmlError::MismatchedEnd),
            (b"</a>", &[], XmlError::MismatchedEnd),
            (b"x<a/>", &[], XmlError::OutsideOfRoot),
            (b"<a/>x", &["text "], XmlError::OutsideOfRoot),
            (b"<a/><b/>", &["text "], XmlError::OutsideOfRoot),
            (b"<![CDATA[x]]><a/>", &[], XmlError::OutsideOfRoot),
            (b"<a x=1/>", &["text "], XmlError::MalformedTag),
            (b"<a x/>", &["text "], XmlError::MalformedTag),
            (b"<a x='1'y='2'/>", &["attribute 1", "text "], XmlError::MalformedTag),
            (b"< a/>", &[], XmlError::MalformedTag),
            (b"<a x='<'/>", &["attribute <", "text "], XmlError::MalformedTag),
            (b"<a><!-- -- -->b</a>", &["text b"], XmlError::MalformedTag),
            (b"<a><!DOCTYPE a>b</a>", &["text b"], XmlError::MalformedTag),
            (b"<a>\xff</a>", &[r"text \xff"], XmlError::InvalidCharacter),
            (b"<a>b\x00c</a>", &[r"text b\x00c"], XmlError::InvalidCharacter),
            (b"<a>b&c</a>", &["text b&c"], XmlError::UnknownReference),
            (
                b"<a x='&e;'>&#x110000;&#+65;&#;</a>",
                &["attribute &e;", "text &#x110000;&#+65;&#;"],
                XmlError::UnknownReference,
            ),
            (b"<\0a\0>\0", &[], XmlError::UnsupportedEncoding),
            (
                b"<?xml version='1.0' encoding='UTF-7'?><a>b</a>",
                &["text b"],
                XmlError::UnsupportedEncoding,
            ),
        ];
        for (body, found, error) in cases {
            check(&Options::default(), body, found, Some(error));
        }
    }

    #[test]
    fn limits_end_the_walk() {
        let options = Options {
            xml_depth: 2,
            xml_nodes: 3,
            ..Options::default()
        };
        check(&options, b"<a>1<b>2</b></a>", &["text 12"], None);
        check(&options, b"<a>1<b>2<c/></b></a>", &["text 12"], Some(XmlError::TooDeep));
        check(
            &options,
            b"<a b='1'><b/>2<b/></a>",
            &["attribute 1", "text 2"],
            Some(XmlError::TooManyNodes),
        );
        check(
            &options,
            b"<a b='1' c='2' d='3'/>",
            &["attribute 1", "attribute 2", "text "],
            Some(XmlError::TooManyNodes),
        );
    }

    #[test]
    fn a_billion_laughs_stay_one() {
        let mut body = b"<!DOCTYPE l [<!ENTITY l0 \"lol\">".to_vec();
        for level in 1..10 {
            let references = format!("&l{};", level - 1).repeat(10);
            body.extend_from_slice(format!("<!ENTITY l{level} \"{references}\">").as_bytes());
        }
        body.extend_from_slice(b"]><l>&l9;</l>");
        check(
            &Options::default(),
            &body,
            &["text &l9;"],
            Some(XmlError::UnknownReference),
        );
    }
}
