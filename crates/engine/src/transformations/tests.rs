//! Properties of all transformations (bounds, triggers, idempotence), and the vectors of secrules-language-tests.

use proptest::prelude::*;

use super::*;
use crate::testdata;

/// A vector whose own escapes were misread: ModSecurity drops the backslash of an unknown escape, and so do we.
const WRONG_VECTORS: [&str; 1] = ["escapeSeqDecode#5"];

#[test]
fn language_test_vectors() {
    testdata::for_each_vector("vectors/transformations", &WRONG_VECTORS, |_, vector| {
        let name = vector["name"].as_str().unwrap();
        let transformation = Transformation::parse(name.as_bytes()).unwrap();
        let (input, expected) = (
            testdata::bytes(vector, "input_b64"),
            testdata::bytes(vector, "output_b64"),
        );
        let mut out = Vec::new();
        let actual = match apply(transformation, UnicodeMap::LowByte, &input, &mut out) {
            Effect::Unchanged => &input,
            Effect::Changed => &out,
        };
        Some((actual.escape_ascii().to_string(), expected.escape_ascii().to_string()))
    });
}

/// Bytes that mean something to a transformation more often than not.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let hostile = prop::sample::select(b"\\%+&#;x0uU4fF1-*/<!>.[] _'\"^,\t\n\r\x0b\x0c=aZ".as_slice());
    let piece = prop_oneof![
        6 => hostile.prop_map(|byte| vec![byte]),
        2 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => prop::sample::select(["%u", "&#x", "&lt", "\\x", "\\u00", "0x", "/*", "*/", "<!--", "-->", "..", "\u{20ac}"].as_slice())
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn transform(transformation: Transformation, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match apply(transformation, UnicodeMap::UsAscii, input, &mut out) {
        Effect::Unchanged => input.to_vec(),
        Effect::Changed => out,
    }
}

/// Those that change nothing that they themselves wrote.
const IDEMPOTENT: [Transformation; 14] = [
    Transformation::None,
    Transformation::CompressWhitespace,
    Transformation::Lowercase,
    Transformation::Uppercase,
    Transformation::NormalisePath,
    Transformation::NormalisePathWin,
    Transformation::ParityZero7bit,
    Transformation::RemoveNulls,
    Transformation::RemoveWhitespace,
    Transformation::ReplaceComments,
    Transformation::ReplaceNulls,
    Transformation::Trim,
    Transformation::TrimLeft,
    Transformation::TrimRight,
];

proptest! {
    #[test]
    fn output_is_bounded(input in value()) {
        for &transformation in Transformation::ALL {
            let out = transform(transformation, &input);
            let most = max_len(transformation, input.len()).max(input.len());
            prop_assert!(out.len() <= most, "{transformation}: {} bytes of {}", out.len(), input.len());
        }
    }

    #[test]
    fn values_without_trigger_stay(input in value()) {
        for &transformation in Transformation::ALL {
            if !triggers(transformation).hit(&input) {
                let mut out = Vec::new();
                run(transformation, UnicodeMap::UsAscii, &input, &mut out);
                prop_assert_eq!(&out, &input, "{}", transformation);
            }
        }
    }

    #[test]
    fn twice_is_once_where_it_should_be(input in value()) {
        for transformation in IDEMPOTENT {
            let once = transform(transformation, &input);
            prop_assert_eq!(transform(transformation, &once), once, "{}", transformation);
        }
    }

    #[test]
    fn decoding_undoes_encoding(input in prop::collection::vec(any::<u8>(), 0..64)) {
        let twins = [
            (Transformation::HexEncode, Transformation::HexDecode),
            (Transformation::Base64Encode, Transformation::Base64Decode),
            (Transformation::Base64Encode, Transformation::Base64DecodeExt),
            (Transformation::UrlEncode, Transformation::UrlDecode),
            (Transformation::UrlEncode, Transformation::UrlDecodeUni),
        ];
        for (encode, decode) in twins {
            prop_assert_eq!(transform(decode, &transform(encode, &input)), &input[..], "{}", encode);
        }
    }
}

#[test]
fn nothing_is_allocated_for_values_without_trigger() {
    for &transformation in Transformation::ALL {
        if triggers(transformation) != Triggers::Anything {
            let mut out = Vec::new();
            // Only for the parities is a plain letter something to change.
            let input = if transformation == Transformation::ParityOdd7bit {
                b"1"
            } else {
                b"3"
            };
            let effect = apply(transformation, UnicodeMap::LowByte, input, &mut out);
            assert_eq!((effect, out.capacity()), (Effect::Unchanged, 0), "{transformation}");
        }
    }
}
