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
}

/// The arguments of a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// `SecRule`.
    Rule(Rule<'a>),
    /// `SecAction` and `SecDefaultAction`.
    Actions(Vec<Action<'a>>),
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
    pub actions: Option<Vec<Action<'a>>>,
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

/// One argument of a directive.
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
    Key(Word<'a>),
    /// A regular expression, without its slashes.
    Pattern(Word<'a>),
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
    /// What stands after the colon, without quotes, escapes as written.
    pub value: Option<Word<'a>>,
}
