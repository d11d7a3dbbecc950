//! The transformation vectors of secrules-language-tests.

use coraza_engine::transformations::{Effect, Transformation, UnicodeMap, apply};

use crate::data;

/// Vectors that are wrong, with the reason.
const KNOWN: [(&str, &str); 1] = [(
    "escapeSeqDecode#5",
    "the vector's own escapes were misread; ModSecurity drops the backslash of an unknown escape",
)];

#[test]
fn transformation_vectors() {
    let Some(folder) = data::folder("vectors/transformations") else {
        return;
    };
    let mut out = Vec::new();
    data::check(&data::files(&folder, "json"), &KNOWN, |vector| {
        let name = vector["name"].as_str().unwrap();
        let Some(transformation) = Transformation::parse(name.as_bytes()) else {
            return Some(format!("{name} is unknown"));
        };
        let (input, expected) = (data::bytes(vector, "input_b64"), data::bytes(vector, "output_b64"));
        let actual = match apply(transformation, UnicodeMap::LowByte, &input, &mut out) {
            Effect::Unchanged => &input,
            Effect::Changed => &out,
        };
        (*actual != expected).then(|| {
            format!(
                "{} gave {}, not {}",
                input.escape_ascii(),
                actual.escape_ascii(),
                expected.escape_ascii()
            )
        })
    });
}
