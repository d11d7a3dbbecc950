//! The syntax tree: what is written, before anybody asks what it means. It borrows from the logical lines. No IO.
//!
//! Two trees are equal if they were written with the same bytes, wherever they stand.

use crate::lexer::Word;

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive<'a> {
    /// Its name, in the case that was written.
    pub name: Word<'a>,
    /// Its arguments.
    pub body: Body<'a>,
    /// The lines between the back-ticks after it, trimmed, without comments.
    pub block: Option<Vec<&'a [u8]>>,
}

/// The arguments of a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// `SecRule`.
    Rule(Rule<'a>),
    /// `SecAction` and `SecDefaultAction`.
    Actions(ActionList<'a>),
    /// Any other directive.
    Arguments(Vec<Argument<'a>>),
}

/// `SecRule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    /// What it looks at.
    pub variables: Vec<Variable<'a>>,
    /// What it compares with.
    pub operator: Operator<'a>,
    /// What it does; none if there is no third argument.
    pub actions: Option<ActionList<'a>>,
    /// How the variables are quoted.
    pub variables_quote: Quote,
    /// How the operator is quoted.
    pub operator_quote: Quote,
}

/// A list of actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionList<'a> {
    /// The actions.
    pub actions: Vec<Action<'a>>,
    /// How the list is quoted.
    pub quote: Quote,
}

/// How an argument is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// It is not.
    Bare,
    /// `"..."`.
    Double,
    /// `'...'`.
    Single,
}

/// One argument of a directive, or another text that may be quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument<'a> {
    /// The bytes between the quotes, escapes as written.
    pub text: Word<'a>,
    /// The quotes.
    pub quote: Quote,
}

/// One element of a variable list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable<'a> {
    /// All of it.
    pub text: Word<'a>,
    /// What stands before the name.
    pub prefix: Prefix,
    /// The name.
    pub name: Word<'a>,
    /// What stands after the colon.
    pub selector: Option<Selector<'a>>,
}

/// What stands before a variable's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Nothing.
    None,
    /// `&`.
    Count,
    /// `!`.
    Exclude,
}

/// What stands after a variable's colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector<'a> {
    /// A key, or a path into a document.
    Key(Argument<'a>),
    /// A regular expression, without its slashes; quotes are outside of them.
    Pattern(Argument<'a>),
    /// A regular expression whose second slash is missing: the rest of the list.
    UnclosedPattern(Word<'a>),
}

/// An operator with its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator<'a> {
    /// All of it.
    pub text: Word<'a>,
    /// Whether `!` stands before it.
    pub negated: bool,
    /// The name without its `@`, if there is one.
    pub name: Option<Word<'a>>,
    /// The rest, escapes as written.
    pub argument: Word<'a>,
}

/// One action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action<'a> {
    /// All of it.
    pub text: Word<'a>,
    /// The name.
    pub name: Word<'a>,
    /// What stands after the colon, escapes as written.
    pub value: Option<Argument<'a>>,
}
