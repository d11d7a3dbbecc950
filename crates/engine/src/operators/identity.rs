//! Check digits of personal numbers: `verifyCC`, `verifyCPF`, `verifySSN`, `verifySVNR`, `validateNid`. No IO.
//!
//! A regular expression finds the candidates, these functions say which of them are real. What is no digit separates.

/// The digits of a candidate if there are exactly `N`.
fn digits<const N: usize>(candidate: &[u8]) -> Option<[u32; N]> {
    let mut digits = candidate
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| u32::from(byte - b'0'));
    let mut all = [0; N];
    for slot in &mut all {
        *slot = digits.next()?;
    }
    digits.next().is_none().then_some(all)
}

/// Whether all digits are the same, or each is the one before plus one: numbers that people make up.
fn is_made_up(digits: &[u32]) -> bool {
    let pairs = || digits.iter().zip(digits.iter().skip(1));
    pairs().all(|(a, b)| a == b) || pairs().all(|(a, b)| (a + 1) % 10 == *b)
}

fn weighted_sum(digits: &[u32], weights: impl IntoIterator<Item = u32>) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// `verifyCC`: a payment card number, by Luhn's check digit (ISO/IEC 7812).
pub fn is_card_number(candidate: &[u8]) -> bool {
    let digits = candidate
        .iter()
        .rev()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| u32::from(byte - b'0'));
    let mut count = 0_usize;
    let sum = digits.fold(0, |sum, digit| {
        let doubled = count % 2 == 1;
        count += 1;
        let weighted = match (doubled, digit) {
            (false, _) => digit,
            (true, 0..=4) => 2 * digit,
            (true, _) => 2 * digit - 9,
        };
        (sum + weighted) % 10
    });
    count > 0 && sum == 0
}

/// `verifyCPF`: a Brazilian taxpayer number, by its two check digits.
pub fn is_cpf(candidate: &[u8]) -> bool {
    let Some(digits) = digits::<11>(candidate) else {
        return false;
    };
    let check = |count: u32| {
        let sum = weighted_sum(&digits, (2..=count + 1).rev());
        (11 - sum % 11) % 11 % 10
    };
    let [.., first, second] = digits;
    !is_made_up(&digits) && check(9) == first && check(10) == second
}

/// `verifySSN`: a social security number of the United States, by what is never issued.
pub fn is_us_ssn(candidate: &[u8]) -> bool {
    let Some(digits) = digits::<9>(candidate) else {
        return false;
    };
    let number = |digits: &[u32]| digits.iter().fold(0, |number, digit| number * 10 + digit);
    let [area @ .., g1, g2, s1, s2, s3, s4] = &digits;
    let (area, group, serial) = (number(area), number(&[*g1, *g2]), number(&[*s1, *s2, *s3, *s4]));
    // Areas from 740 on were never issued before areas became random, in 2011; ModSecurity's list is older.
    !is_made_up(&digits) && !matches!(area, 0 | 666 | 740..) && group != 0 && serial != 0
}

/// `verifySVNR`: an Austrian social insurance number, by its check digit, the fourth.
pub fn is_svnr(candidate: &[u8]) -> bool {
    let Some(digits) = digits::<10>(candidate) else {
        return false;
    };
    let [_, _, _, check, ..] = digits;
    !is_made_up(&digits) && weighted_sum(&digits, [3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 == check
}

/// `validateNid cl`: a Chilean RUT, by its check digit, the last, which may be a `k` for ten.
pub fn is_chilean_rut(candidate: &[u8]) -> bool {
    let kept = candidate
        .iter()
        .filter(|byte| byte.is_ascii_digit() || matches!(byte, b'k' | b'K'));
    let mut reversed = kept.rev();
    let check = match reversed.next() {
        Some(b'k' | b'K') => 10,
        Some(digit) => u32::from(digit - b'0'),
        None => return false,
    };
    let mut count = 0_usize;
    let mut sum = 0;
    for (byte, weight) in reversed.zip((2..=7).cycle()) {
        if !byte.is_ascii_digit() {
            return false;
        }
        sum = (sum + u32::from(byte - b'0') * weight) % 11;
        count += 1;
    }
    count > 0 && (11 - sum) % 11 == check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(is_valid: impl Fn(&[u8]) -> bool, valid: &[&str], invalid: &[&str]) {
        for candidate in valid {
            assert!(is_valid(candidate.as_bytes()), "{candidate}");
        }
        for candidate in invalid {
            assert!(!is_valid(candidate.as_bytes()), "{candidate}");
        }
    }

    #[test]
    fn card_numbers() {
        check(
            is_card_number,
            &["4111 1111-1111 1111", "5555555555554444", "378282246310005", "0"],
            &["4111111111111112", "5555555555554445", "", "x", "1"],
        );
    }

    #[test]
    fn cpfs() {
        check(
            is_cpf,
            &["010.817.514-60", "529.982.247-25"],
            &[
                "010.817.514-61",
                "111.111.111-11",
                "01234567890",
                "010817514",
                "529.982.247-2500",
                "",
            ],
        );
    }

    #[test]
    fn us_ssns() {
        check(
            is_us_ssn,
            &["574-57-8065", "219 09 9999"],
            &[
                "000-57-8065",
                "666-57-8065",
                "740-57-8065",
                "574-00-8065",
                "574-57-0000",
                "123456789",
                "555555555",
                "57457806",
            ],
        );
    }

    #[test]
    fn svnrs() {
        check(
            is_svnr,
            &["1237 010180", "1237010180"],
            &["1238 010180", "1111111111", "123701018", ""],
        );
    }

    #[test]
    fn chilean_ruts() {
        check(
            is_chilean_rut,
            &["11.111.111-1", "12.345.678-5", "1.000.005-K"],
            &["11.111.111-0", "1k.111.111-1", "", "k", "1"],
        );
    }
}
