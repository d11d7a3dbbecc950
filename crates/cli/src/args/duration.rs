//! Durations as kubectl's flags have them: `5s`, `1m30s`, or a number of seconds. No IO.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a number of seconds, or numbers with ms, s, m or h, such as 1m30s")]
pub(crate) struct InvalidDuration;

/// Reads a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let (mut rest, mut sum) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest
            .find(|character: char| !character.is_ascii_digit())
            .ok_or(InvalidDuration)?;
        let (number, after) = rest.split_at_checked(digits).ok_or(InvalidDuration)?;
        let letters = after
            .find(|character: char| character.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters).ok_or(InvalidDuration)?;
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(InvalidDuration),
        };
        let number: u64 = number.parse().map_err(|_| InvalidDuration)?;
        let part = Duration::from_millis(number.checked_mul(milliseconds).ok_or(InvalidDuration)?);
        sum = sum.checked_add(part).ok_or(InvalidDuration)?;
        rest = after;
    }
    if text.is_empty() { Err(InvalidDuration) } else { Ok(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_kubectl() {
        for (text, milliseconds) in [
            ("0", Some(0)),
            ("5", Some(5_000)),
            ("5s", Some(5_000)),
            ("1m30s", Some(90_000)),
            ("2h", Some(7_200_000)),
            ("250ms", Some(250)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("1m5", None),
            ("-1s", None),
            ("5é", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(parse(text).ok(), milliseconds.map(Duration::from_millis), "{text}");
        }
    }
}
