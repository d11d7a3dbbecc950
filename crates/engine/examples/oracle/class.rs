//! The classes of differences, each a row of `DEVIATIONS.md`. No IO.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use coraza_ftw::Request;
use coraza_seclang::rules::{
    ActionName, Member, OperatorName, Rule, Selector, Target, Transformation, Value, Variable,
};
use coraza_seclang::{lower, parse};

use crate::compare::{Difference, Input};
use crate::generate::unescape;
use crate::suites::ftw::rules::{Setup, sources};
use crate::variant::{Anchors, Variants};

/// A difference that nobody has explained.
pub(crate) const UNEXPLAINED: &str = "unexplained";

/// The rule that logs that a request's body can't be read.
const REQUEST_BODY_ERROR: u64 = 200_002;

/// What differences are explained by: what rules look at and how they are written.
pub(crate) struct Classes {
    /// Rules that look at `REQUEST_BODY`.
    body: BTreeSet<u64>,
    /// Rules that are chains.
    chains: BTreeSet<u64>,
    /// Rules with a regular expression in which `^` or `$` stands.
    anchored: BTreeSet<u64>,
    /// Rules that see paths without detours.
    paths: BTreeSet<u64>,
    /// Rules that look for words.
    words: BTreeSet<u64>,
    /// Rules that see the characters that HTML writes as names.
    entities: BTreeSet<u64>,
    /// Rules that look at a value after each step, one of which makes UTF-8 escapes.
    steps: BTreeSet<u64>,
    /// Chains that look at what a group of the last match has captured.
    groups: BTreeSet<u64>,
    /// Rules that judge the score that others have added up.
    scores: BTreeSet<u64>,
    variants: Variants,
}

impl Classes {
    /// Those of the rules of a folder.
    pub(crate) fn of(folder: &Path, setup: &Setup) -> Result<Self, String> {
        let texts = sources(folder, setup)?.texts;
        let parsed: Vec<_> = texts.iter().map(|text| Arc::new(parse(text.as_bytes()))).collect();
        let (rules, _) = lower(&parsed);
        let select = |wanted: &dyn Fn(&Rule) -> bool| -> BTreeSet<u64> {
            let wanted = rules.rules().filter(|rule| wanted(rule));
            wanted.filter_map(|rule| rule.id.map(|id| id.0)).collect()
        };
        let looks_at = |rule: &Rule, variable: &dyn Fn(&Target) -> bool| {
            let mut targets = rule.members.iter().flat_map(|member| &member.definition.targets);
            targets.any(variable)
        };
        Ok(Self {
            variants: Variants::of(folder, setup)?,
            body: select(&|rule| looks_at(rule, &|target| target.variable == Variable::RequestBody)),
            chains: select(&|rule| rule.members.len() > 1),
            anchored: select(&|rule| rule.members.iter().any(is_anchored)),
            paths: select(&|rule| {
                let paths = [Transformation::NormalisePath, Transformation::NormalisePathWin];
                rule.members.iter().any(|member| transforms(member, &paths))
            }),
            words: select(&|rule| rule.members.iter().any(looks_for_words)),
            entities: select(&|rule| {
                let mut members = rule.members.iter();
                members.any(|member| transforms(member, &[Transformation::HtmlEntityDecode]))
            }),
            steps: select(&|rule| rule.members.iter().any(looks_at_each_step)),
            groups: select(&|rule| looks_at(rule, &is_group)),
            scores: select(&|rule| rule.id.is_some_and(|id| [949_110, 959_100, 980_170].contains(&id.0))),
        })
    }

    /// The classes that a difference belongs to: one for each rule in it, or more.
    pub(crate) fn explain(&self, difference: &Difference) -> BTreeSet<&'static str> {
        let missing = difference.missing.iter().map(|id| (*id, true));
        let surplus = difference.surplus.iter().map(|id| (*id, false));
        let classes: BTreeSet<_> = missing
            .chain(surplus)
            .filter_map(|(id, missing)| self.class(id, missing, difference))
            .collect();
        if classes.is_empty() {
            // Only a score differs, and nothing says why.
            return BTreeSet::from([UNEXPLAINED]);
        }
        classes
    }

    /// Why a rule is logged in one engine only; nothing for one that only adds up what others say.
    fn class(&self, id: u64, missing: bool, difference: &Difference) -> Option<&'static str> {
        let Difference { input, theirs, .. } = difference;
        let multipart = is(input, b"multipart/");
        Some(match id {
            id if missing && self.body.contains(&id) && !is(input, b"application/x-www-form-urlencoded") => "R2",
            200_002 | 200_003 if missing && input.request.body.is_empty() => "B19",
            200_002 | 200_003 | 922_000..=922_999 if multipart => "B5",
            920_430 if input.request.version.is_empty() => "R32",
            _ if (!missing && multipart || is(input, b"xml")) && theirs.contains(&REQUEST_BODY_ERROR) => "B0",
            _ if multipart && has_line_feed(input) => "B3",
            _ if !missing && is(input, b"json") && input.request.body.contains(&b'[') => "B17",
            id if self.anchored.contains(&id) && has_line_feed(input) && self.differs_by_lines(id, missing, input) => {
                "P1"
            }
            id if !missing && self.paths.contains(&id) && has(input, b"..") => "T2",
            id if missing && self.paths.contains(&id) && has_dotted_segment(input) => "T2",
            id if self.entities.contains(&id) && has_long_entity(input) => "T1",
            id if !missing && self.words.contains(&id) => "O6",
            id if !missing && self.steps.contains(&id) && has_broken_character(input) => "R7",
            id if !missing && self.groups.contains(&id) && has(input, b"&") => "R35",
            id if missing && self.chains.contains(&id) && self.begins(id, input) => "R10",
            _ if !missing && is(input, b"xml") => "B15",
            id if self.scores.contains(&id) => return None,
            _ => UNEXPLAINED,
        })
    }
}

impl Classes {
    /// Whether a rule would be logged as in the other engine if anchors were those of lines.
    fn differs_by_lines(&self, id: u64, missing: bool, input: &Input) -> bool {
        self.variants.with_lines(input).contains(&id) == missing
    }

    /// Whether a chain's first link matches, which is what the other engine logs: as the chain is, or with the other engine's anchors (P1).
    fn begins(&self, id: u64, input: &Input) -> bool {
        let matches = |anchors| self.variants.first_link_matches(id, anchors, input) == Ok(true);
        matches(Anchors::Value) || self.anchored.contains(&id) && has_line_feed(input) && matches(Anchors::Lines)
    }
}

/// Whether a line's start or end means something to a rule.
fn is_anchored(member: &Member) -> bool {
    let operator = member.definition.operator.as_ref();
    let pattern = operator.and_then(|operator| operator.pattern());
    pattern.is_some_and(|pattern| pattern.iter().any(|byte| b"^$".contains(byte)))
}

fn transforms(member: &Member, wanted: &[Transformation]) -> bool {
    let mut actions = member.definition.actions.0.iter();
    actions
        .any(|action| matches!(action.value, Value::Transformation(transformation) if wanted.contains(&transformation)))
}

fn looks_at_each_step(member: &Member) -> bool {
    let mut actions = member.definition.actions.0.iter();
    actions.any(|action| action.name == ActionName::MultiMatch) && transforms(member, &[Transformation::Utf8ToUnicode])
}

/// Whether a target is `TX:0` to `TX:9`.
fn is_group(target: &Target) -> bool {
    let Selector::Key(key) = &target.selector else {
        return false;
    };
    target.variable == Variable::Tx && matches!(*key.bytes, [digit] if digit.is_ascii_digit())
}

fn looks_for_words(member: &Member) -> bool {
    let operator = member.definition.operator.as_ref();
    operator.is_some_and(|operator| matches!(operator.name, OperatorName::Pm | OperatorName::PmFromFile))
}

/// Whether a value of the request may have more than one line: a line feed as it is, escaped in some way, or what XML makes one of.
fn has_line_feed(input: &Input) -> bool {
    let feeds = [b"\n".as_slice(), b"0a", b"\\n", b"&#10", b"newline"];
    feeds.iter().any(|feed| has(input, feed)) || is(input, b"xml") && has(input, b"\r")
}

/// Whether a text stands in the request or in the response's body, in any case.
fn has(input: &Input, text: &[u8]) -> bool {
    finds(input, |place| {
        let mut parts = place.windows(text.len());
        parts.any(|part| part.eq_ignore_ascii_case(text))
    })
}

/// Whether something other than a slash stands before two dots, which the other engine takes for a way back all the same.
fn has_dotted_segment(input: &Input) -> bool {
    let is_dotted = |part: &[u8]| matches!(part, [before, b'.', b'.'] if !b"/\\".contains(before));
    finds(input, |place| place.windows(3).any(is_dotted))
}

/// Whether a name of HTML's that needs no semicolon goes on with other letters or digits.
fn has_long_entity(input: &Input) -> bool {
    let names = [b"&lt".as_slice(), b"&gt", b"&amp", b"&quot", b"&nbsp"];
    let longer = |part: &[u8], name: &[u8]| match part.split_at_checked(name.len()) {
        Some((start, [next, ..])) => start.eq_ignore_ascii_case(name) && next.is_ascii_alphanumeric(),
        _ => false,
    };
    finds(input, |place| {
        let mut parts = (0..place.len()).filter_map(|at| place.get(at..));
        parts.any(|part| names.iter().any(|name| longer(part, name)))
    })
}

/// Whether bytes are no UTF-8.
fn has_broken_character(input: &Input) -> bool {
    finds(input, |place| std::str::from_utf8(place).is_err())
}

/// Whether a part of the request or the response's body is as wanted: as it is, or with its percent signs decoded once or twice.
fn finds(input: &Input, wanted: impl Fn(&[u8]) -> bool) -> bool {
    let Request { uri, headers, body, .. } = &input.request;
    let places = [uri, body, &input.response.body];
    let mut places = places.into_iter().chain(headers.iter().map(|(_, value)| value));
    places.any(|place| {
        let once = unescape(place);
        wanted(place) || wanted(&once) || wanted(&unescape(&once))
    })
}

/// Whether the request's type of content says this.
fn is(input: &Input, kind: &[u8]) -> bool {
    let own = input
        .request
        .header(b"content-type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    own.windows(kind.len()).any(|part| part == kind)
}
