//! What `capture` has to store: of each match only what somebody may read before another match replaces it, since finding the groups of a
//! match takes far longer than finding that there is one. No IO.
//!
//! `TX:0` to `TX:9` are read by targets, macros and sums. Any later rule may be the next that runs (those between don't match, are skipped,
//! or are taken out), so a match must store what any of them reads at its beginning. What a link of a chain reads behind another one that
//! always captures is of that one's making.

use std::ops::BitOr;

use coraza_seclang::rules::{Change, Phase, Template, Variable};

use super::operator::Test;
use super::patterns::Patterns;
use super::rule::{Action, Capture, Disruptive, Member, Rule, Selector, Target};

/// Some of `TX:0` to `TX:9`, a bit each.
type Places = u16;

const ALL: Places = 0b11_1111_1111;
const WHOLE: Places = 1;

/// Narrows what the members of rules capture to what is read.
pub(super) fn narrow(phases: &mut [Vec<Rule>; Phase::ALL.len()], patterns: &Patterns) {
    // What the rules after this one read, of what was there before them.
    let mut after = 0;
    for rule in phases.iter_mut().flatten().rev() {
        // What the rest of this rule reads.
        let mut rest = at_the_end(rule);
        for member in rule.members.iter_mut().rev() {
            let by_test = test(&member.test);
            let by_actions = member.actions.iter().map(action).fold(0, Places::bitor);
            if member.capture != Capture::Nothing {
                // The test reads again for the next value.
                member.capture = capture(after | rest | by_actions | by_test);
            }
            if replaces(member) {
                rest = 0;
            } else {
                rest |= by_actions;
            }
            let by_targets = member.targets.iter().map(|read| target(read, patterns));
            rest |= by_test | by_targets.fold(0, Places::bitor);
        }
        after |= rest;
    }
}

fn capture(read: Places) -> Capture {
    match read {
        0 => Capture::Nothing,
        WHOLE => Capture::Whole,
        _ => Capture::Groups,
    }
}

/// Whether each match of it replaces all that was captured before.
fn replaces(member: &Member) -> bool {
    let captures = match member.test {
        Test::Rx(_)
        | Test::RxGlobal(_)
        | Test::DynamicRx(_)
        | Test::Words(_)
        | Test::Sqli
        | Test::Xss
        | Test::Identity(..) => true,
        Test::Always
        | Test::Never
        | Test::RestPath(..)
        | Test::Text(..)
        | Test::Number(..)
        | Test::Networks(_)
        | Test::ByteRanges(_)
        | Test::Encoding(_) => false,
    };
    captures && member.capture != Capture::Nothing
}

/// What a rule reads once its chain has matched.
fn at_the_end(rule: &Rule) -> Places {
    let members = rule.members.iter();
    let texts = members.flat_map(|member| member.msg.iter().chain(&member.log_data));
    let place = match &rule.disruptive {
        Disruptive::Redirect(place) => Some(place),
        Disruptive::Pass | Disruptive::Deny | Disruptive::Drop | Disruptive::Allow(_) => None,
    };
    texts
        .chain(&rule.tags)
        .chain(place)
        .map(template)
        .fold(0, Places::bitor)
}

fn test(test: &Test) -> Places {
    match test {
        Test::DynamicRx(argument) | Test::Text(_, argument) | Test::Number(_, argument) => template(argument),
        Test::Always
        | Test::Never
        | Test::Rx(_)
        | Test::RxGlobal(_)
        | Test::RestPath(..)
        | Test::Words(_)
        | Test::Networks(_)
        | Test::ByteRanges(_)
        | Test::Encoding(_)
        | Test::Sqli
        | Test::Xss
        | Test::Identity(..) => 0,
    }
}

fn action(action: &Action) -> Places {
    let Action::SetVar(set_var) = action else { return 0 };
    let changed = match &set_var.change {
        Change::Remove => 0,
        Change::Set(value) => template(value),
        // A sum reads what it changes.
        Change::Add(amount) | Change::Subtract(amount) => {
            let key = if set_var.key.is_static() {
                place(&set_var.key.text)
            } else {
                ALL
            };
            template(amount) | key
        }
    };
    template(&set_var.key) | changed
}

fn template(template: &Template) -> Places {
    let macros = template.macros.iter().filter(|name| name.variable == Variable::Tx);
    macros
        .map(|name| name.key.as_deref().map_or(ALL, place))
        .fold(0, Places::bitor)
}

fn target(target: &Target, patterns: &Patterns) -> Places {
    if target.variable != Variable::Tx {
        return 0;
    }
    match &target.selector {
        Selector::All => ALL,
        Selector::Key(key) => place(key),
        Selector::Pattern(id) => {
            let Some(compiled) = patterns.get(*id) else { return ALL };
            let mut cache = compiled.pattern.create_cache();
            let mut is_selected = |digit: &u8| compiled.pattern.is_match(&mut cache, &[*digit]);
            let digits = (b'0'..=b'9').filter(|digit| is_selected(digit));
            digits.map(|digit| place(&[digit])).fold(0, Places::bitor)
        }
    }
}

/// The place that a key of TX is.
fn place(key: &[u8]) -> Places {
    match key {
        [digit @ b'0'..=b'9'] => 1 << (digit - b'0'),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coraza_seclang::{lower, parse};

    use super::*;
    use crate::Options;
    use crate::program::Program;

    /// What each link captures, in order: nothing, the whole match, or its groups.
    fn captured(rules: &str) -> String {
        let (rules, findings) = lower(&[Arc::new(parse(rules.as_bytes()))]);
        let program =
            Program::compile(&rules, &Options::default()).unwrap_or_else(|errors| panic!("{errors:?} {findings:?}"));
        let rules = Phase::ALL.iter().flat_map(|phase| program.phase(*phase));
        let links = rules.flat_map(|rule| &rule.members).map(|member| match member.capture {
            Capture::Nothing => '-',
            Capture::Whole => '0',
            Capture::Groups => 'g',
        });
        links.collect()
    }

    #[test]
    fn what_is_read_is_captured() {
        const FIRST: &str = "SecRule ARGS \"@rx (a)\" \"id:1,phase:2,pass,capture";
        for (rest, expected) in [
            ("\"", "-"),
            (",msg:'%{tx.0}'\"", "0"),
            (",logdata:'%{TX.0} %{matched_var}'\"", "0"),
            (",msg:'%{tx.1}'\"", "g"),
            (",tag:'%{tx.9}'\"", "g"),
            (",msg:'%{tx.10} %{tx.a}'\"", "-"),
            (",setvar:tx.a=%{tx.1}\"", "g"),
            (",setvar:tx.%{tx.0}=1\"", "0"),
            (",setvar:tx.1=+1\"", "g"),
            (",setvar:tx.1=1\"", "-"),
            (",redirect:'http://a/%{tx.2}'\"", "g"),
            // By later rules, of whatever phase, and by no earlier one.
            ("\"\nSecRule TX:0 \"@rx b\" \"id:2,phase:2,pass\"", "0-"),
            ("\"\nSecRule TX:1 \"@rx b\" \"id:2,phase:5,pass\"", "g-"),
            ("\"\nSecRule TX:1 \"@rx b\" \"id:2,phase:1,pass\"", "--"),
            ("\"\nSecRule &TX:1 \"@eq 1\" \"id:2,phase:3,pass\"", "g-"),
            ("\"\nSecRule TX \"@rx b\" \"id:2,phase:2,pass\"", "g-"),
            ("\"\nSecRule TX:/^[1x]$/ \"@rx b\" \"id:2,phase:2,pass\"", "g-"),
            ("\"\nSecRule TX:/^x/ \"@rx b\" \"id:2,phase:2,pass\"", "--"),
            ("\"\nSecRule ARGS|!TX:1 \"@rx b\" \"id:2,phase:2,pass\"", "--"),
            ("\"\nSecRule ARGS \"@streq %{tx.3}\" \"id:2,phase:2,pass\"", "g-"),
            ("\"\nSecAction \"id:2,phase:2,pass,logdata:'%{tx.0}'\"", "0-"),
            // What the next one replaces before it is read, or not.
            (
                "\"\nSecRule ARGS \"@rx (b)\" \"id:2,phase:2,pass,capture,msg:'%{tx.1}'\"",
                "-g",
            ),
            (
                "\"\nSecRule ARGS \"@rx %{tx.1}\" \"id:2,phase:2,pass,capture,msg:'%{tx.0}'\"",
                "gg",
            ),
            (
                "\"\nSecRule ARGS \"!@rx (b)\" \"id:2,phase:2,pass,capture,msg:'%{tx.1}'\"",
                "g-",
            ),
            (
                "\"\nSecRule ARGS \"@contains b\" \"id:2,phase:2,pass,capture,msg:'%{tx.1}'\"",
                "gg",
            ),
            // In chains: links that are reached have matched, but the chain may end before the last.
            (",chain\"\nSecRule TX:1 \"@rx b\" \"\"", "g-"),
            (",chain,msg:'%{tx.0}'\"\nSecRule TX:1 \"@rx (b)\" \"capture\"", "g0"),
            (",chain,msg:'%{tx.0}'\"\nSecRule ARGS \"@pm b\" \"capture\"", "-0"),
            (
                ",chain\"\nSecRule ARGS \"@rx (b)\" \"capture\"\nSecAction \"id:2,phase:2,pass,msg:'%{tx.2}'\"",
                "gg-",
            ),
            // Before a `replaces` that isn't sure: what it stores may be what an earlier one did.
            (",chain\"\nSecRule ARGS \"@rx b\" \"setvar:tx.a=%{tx.1}\"", "g-"),
        ] {
            assert_eq!(captured(&format!("{FIRST}{rest}")), expected, "{rest}");
        }
    }
}
