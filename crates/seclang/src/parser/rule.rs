//! `SecRule`: variables, operator, actions. No IO.

use super::directive::{Unreadable, last_argument, next_argument};
use super::{Context, actions, variables};
use crate::ast::{ActionList, Operator, Rule};
use crate::error::Kind;
use crate::lexer::Word;

/// Reads the arguments of a `SecRule`.
pub(super) fn rule<'a>(name: Word<'a>, rest: Word<'a>, context: &mut Context) -> Result<Rule<'a>, Unreadable> {
    let missing = |what: &str, context: &mut Context| {
        context.error_hint(
            Kind::MissingArgument,
            name,
            format!("`{}` needs {what}", name.shown()),
            "SecRule VARIABLES \"@operator argument\" \"actions\"",
        );
        Unreadable::Arguments
    };
    if rest.bytes().is_empty() {
        return Err(missing("a list of variables", context));
    }
    let (targets, rest) = next_argument(rest, context)?;
    let rest = rest.trim_start();
    if rest.bytes().is_empty() {
        return Err(missing("an operator", context));
    }
    let (comparison, rest) = next_argument(rest, context)?;
    let rest = rest.trim_start();
    let list = if rest.bytes().is_empty() {
        None
    } else {
        Some(last_argument(rest, context)?)
    };
    Ok(Rule {
        variables: variables(targets.text, b"|", context),
        operator: operator(comparison.text, context),
        actions: list.map(|list| ActionList {
            actions: actions::actions(list.text, context),
            quote: list.quote,
        }),
        variables_quote: targets.quote,
        operator_quote: comparison.quote,
    })
}

/// Reads `!@name argument`; without a name it is a regular expression.
fn operator<'a>(text: Word<'a>, context: &mut Context) -> Operator<'a> {
    context.read(text);
    let text = text.trim_start();
    let positive = text.strip(b'!').map(Word::trim_start);
    let rest = positive.unwrap_or(text);
    let (name, argument) = match rest.strip(b'@') {
        Some(named) => {
            let (name, argument) = named.split_space();
            (Some(name), argument.trim_start())
        }
        None => (None, rest),
    };
    Operator {
        text,
        negated: positive.is_some(),
        name,
        argument,
    }
}
